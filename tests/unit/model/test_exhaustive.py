"""Every state that a small world can reach, with ``decide()`` itself as the rule.

The world: a broker's messages, the legs at work, one record, and a budget of faults, stops and
operator's verbs. Time is two-valued: what is due lies ahead, or has come. All legs are children of
one worker, so that owners' names protect nothing. A state is *unsafe* when a promise is broken in
it, and *stuck* when no sequence of moves without a further fault ends the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pytest

from celery_graceful.model import events as ev
from celery_graceful.model.decide import Policy, Verdict, decide
from celery_graceful.model.record import Outcome, Record, Request, State

NOW, AHEAD = 1.0, 2.0
OWNER = "w"


class Message(NamedTuple):
    generation: int
    redelivered: bool
    #: Which use of the id it belongs to: known to the test, not to the protocol.
    use: int


class Leg(NamedTuple):
    message: Message
    fence: int
    position: int
    phase: str = "run"
    #: Whether it was admitted last.
    latest: bool = True
    #: The generation to publish, or why it was told to stop.
    detail: str = ""


class World(NamedTuple):
    record: int
    messages: tuple[Message, ...]
    legs: tuple[Leg, ...]
    done: tuple[int, ...]
    faults: int
    stops: int
    verbs: int
    uses: int
    use: int = 0

    def put(self, message: Message) -> World:
        if self.messages.count(message) > 1:  # a third adds states, not behaviour
            return self
        return self._replace(messages=tuple(sorted((*self.messages, message))))

    def take(self, message: Message) -> World:
        at = self.messages.index(message)
        return self._replace(messages=self.messages[:at] + self.messages[at + 1 :])

    def leg(self, old: Leg | None, new: Leg | None) -> World:
        legs = list(self.legs)
        if old is not None:
            legs.remove(old)
        if new is not None:
            legs = [g._replace(latest=g.latest and not new.latest) for g in legs] + [new]
        return self._replace(legs=tuple(sorted(legs)))


class Move(NamedTuple):
    label: str
    world: World
    #: Whether it needs neither a fault nor anybody's will: such moves alone must end the run.
    free: bool = True
    wrong: str = ""


@dataclass
class Book:
    """The records met so far by number (0: none), and what was decided about them."""

    policy: Policy
    records: list[Record | None] = field(default_factory=lambda: [None])
    numbers: dict[Record, int] = field(default_factory=dict)
    decided: dict[tuple[int, ev.Event], tuple[Verdict, int]] = field(default_factory=dict)

    def number(self, record: Record, due_in: float | None) -> int:
        """File a record without what no rule reads, or what only doubles a wait."""
        due = None if due_in is None else (AHEAD if due_in > 0 else NOW)
        plain = replace(record, due_at=due, leg_steps=0, resumptions=0, republished=0, reason="")
        if not self.policy.max_crashes:
            plain = replace(plain, crashes=0, crash_steps=-1)
        if plain not in self.numbers:
            self.numbers[plain] = len(self.records)
            self.records.append(plain)
        return self.numbers[plain]

    def ask(self, number: int, event: ev.Event) -> tuple[Verdict, int]:
        known = self.decided.get((number, event))
        if known is None:
            before = self.records[number]
            d = decide(before, event, NOW, self.policy)
            after = number if d.record is None else self.number(d.record, d.due_in)
            if before is not None and d.record is not None:
                assert d.record.fence >= before.fence
                assert d.verdict is Verdict.START or d.record.generation >= before.generation
            if d.verdict is Verdict.GIVE_UP and d.record is not None:
                assert d.record.steps <= d.record.crash_steps, "gave up a run that got further"
            known = self.decided[number, event] = d.verdict, after
        return known

    def flush(self, number: int, leg: Leg) -> int | None:
        """What a store does with a checkpoint."""
        r = self.records[number]
        if r is None or r.state is not State.RUNNING or r.fence != leg.fence:
            return None
        return self.number(replace(r, checkpoint=str(leg.position), steps=leg.position), 1.0)


@dataclass
class Explorer:
    book: Book
    items: int
    workers: int

    def moves(self, w: World) -> Iterator[Move]:
        if len(w.legs) < self.workers:
            yield from self.admissions(w)
        for leg in dict.fromkeys(w.legs):
            if leg.phase == "dead":
                yield Move("its worker dies too", w.leg(leg, None))
                event = ev.Release(OWNER, leg.message.generation)
                yield Move("release", self.told(w, event).leg(leg, None))
            else:
                yield from self.leg_moves(w, leg)
                yield from self.harm(w, leg)
        yield from self.bystanders(w)
        yield from self.operators(w)

    def record(self, w: World) -> Record | None:
        return self.book.records[w.record]

    def told(self, w: World, event: ev.Event) -> World:
        return w._replace(record=self.book.ask(w.record, event)[1])

    def admissions(self, w: World) -> Iterator[Move]:
        r = self.record(w)
        for m in dict.fromkeys(w.messages):
            verdict, after = self.book.ask(
                w.record, ev.Admit(m.generation, OWNER, m.redelivered)
            )
            rest = w.take(m)
            taken = self.book.records[after]
            if verdict is Verdict.DROP or taken is None:
                yield Move("drop", rest)
                continue
            phases = {Verdict.RETURN_SAVED: "finish", Verdict.GIVE_UP: "give_up"}
            leg = Leg(m, taken.fence, int(taken.checkpoint or 0), phases.get(verdict, "run"))
            t = rest.leg(None, leg)._replace(record=after)
            again = verdict is Verdict.START and r is not None and m.use == w.use
            if verdict is Verdict.START:
                t = t._replace(use=m.use, done=(0,) * self.items)
            yield Move(str(verdict), t, wrong="started again after its end" if again else "")

    def by(self, w: World, leg: Leg, event: ev.Event) -> tuple[Verdict, World, str]:
        """A leg's own event; only the one that was admitted last may have any effect."""
        verdict, after = self.book.ask(w.record, event)
        stale = verdict is not Verdict.REFUSED and not leg.latest
        return verdict, w._replace(record=after), "a stale leg wrote" if stale else ""

    def leg_moves(self, w: World, leg: Leg) -> Iterator[Move]:
        if leg.phase == "run":
            yield from self.loop_moves(w, leg)
        elif leg.phase == "told":
            yield self.leave(w, leg, leg.detail)
        elif leg.phase == "publish":
            yield from self.publish_moves(w, leg)
        elif leg.phase == "give_back":
            yield Move("give back", w.put(leg.message._replace(redelivered=True)).leg(leg, None))
        else:
            outcome = Outcome.COMPLETED if leg.phase == "finish" else Outcome.FAILED
            verdict, t, wrong = self.by(w, leg, ev.End(leg.fence, outcome))
            yield Move(f"end: {verdict}", t.leg(leg, None), wrong=wrong)

    def publish_moves(self, w: World, leg: Leg) -> Iterator[Move]:
        message = Message(int(leg.detail), False, leg.message.use)
        yield Move("publish", w.put(message).leg(leg, None))
        if w.faults:
            hurt = w._replace(faults=w.faults - 1)
            yield Move("publish lost", hurt.leg(leg, None), False)
            yield Move("publish uncertain", hurt.put(message), False)
            verdict, t, wrong = self.by(hurt, leg, ev.Reclaim(leg.fence, OWNER))
            r, again = self.record(t), None
            if verdict is Verdict.RESUME and r is not None:
                again = leg._replace(fence=r.fence, phase="run", detail="")
            yield Move("publish refused", t.leg(leg, again), False, wrong)

    def loop_moves(self, w: World, leg: Leg) -> Iterator[Move]:
        at = leg.position
        if at < self.items and leg.latest:  # a stale leg's effects can only hide a lost item
            t = w.leg(leg, leg._replace(position=at + 1))
            if leg.message.use == w.use:
                t = t._replace(done=(*w.done[:at], min(w.done[at] + 1, 2), *w.done[at + 1 :]))
            yield Move("item", t)
        if at == self.items:
            event = ev.Finish(leg.fence, str(at), at, "r", Outcome.COMPLETED)
            verdict, t, wrong = self.by(w, leg, event)
            after = leg._replace(phase="finish") if verdict is Verdict.DONE else None
            yield Move("finish", t.leg(leg, after), True, wrong)
        yield self.flush(w, leg)
        if w.stops:
            fewer = w._replace(stops=w.stops - 1)
            yield self.leave(fewer, leg, "shutdown")
            yield self.leave(fewer, leg, "returned")
            yield self.leave(fewer, leg, "retry")

    def flush(self, w: World, leg: Leg) -> Move:
        after = self.book.flush(w.record, leg)
        if after is None:
            return Move("fenced", w.leg(leg, None))
        r, t = self.book.records[after], w._replace(record=after)
        if r is not None and r.requested is not None:
            reason = "paused" if r.requested is Request.PAUSE else "cancelled"
            t = t.leg(leg, leg._replace(phase="told", detail=reason))
        return Move("flush", t, wrong="" if leg.latest else "a stale leg flushed")

    def leave(self, w: World, leg: Leg, why: str) -> Move:
        saved = (leg.fence, str(leg.position), leg.position, why)
        hand_over = ev.HandOver(*saved, successor=why != "returned")
        event = ev.Wait(*saved, delay=1.0) if why == "retry" else hand_over
        verdict, t, wrong = self.by(w, leg, event)
        r, after = self.record(t), None
        if verdict is Verdict.PUBLISH and r is not None:
            phase = "give_back" if why == "returned" else "publish"
            after = leg._replace(phase=phase, detail=str(r.generation))
        return Move(f"leave: {why} {verdict}", t.leg(leg, after), leg.phase == "told", wrong)

    def harm(self, w: World, leg: Leg) -> Iterator[Move]:
        if w.faults:
            hurt = w._replace(faults=w.faults - 1)
            back = hurt.put(leg.message._replace(redelivered=True))
            yield Move("crash", back.leg(leg, leg._replace(phase="dead", detail="")), False)
            yield Move("redelivery", back, False)

    def holders(self, w: World) -> int:
        """How many legs hold the run by right: a valid fence and a live lease."""
        r = self.record(w)
        if r is None or r.state not in (State.RUNNING, State.FINISHING) or not r.leased(NOW):
            return 0
        at_work = ("run", "told", "finish", "give_up")
        return sum(g.fence == r.fence and g.phase in at_work for g in w.legs)

    def bystanders(self, w: World) -> Iterator[Move]:
        r = self.record(w)
        if r is None or r.due_at is None:
            return
        if r.due_at <= NOW:
            yield from self.published(w, ev.Rescue(), free=True)
            return
        late = w._replace(record=self.book.number(r, 0.0))
        if not self.holders(w):
            yield Move("time passes", late)
        elif w.faults:
            yield Move("stall", late._replace(faults=w.faults - 1), False)

    def published(self, w: World, event: ev.Event, free: bool) -> Iterator[Move]:
        """A decision by somebody who may have to publish, and may fail to."""
        verdict, after = self.book.ask(w.record, event)
        label, t, r = type(event).__name__.lower(), w._replace(record=after), self.book.records[after]
        if verdict is Verdict.PUBLISH and r is not None:
            yield Move(label, t.put(Message(r.generation, False, w.use)), free)
            if w.faults:
                yield Move(f"{label}, lost", t._replace(faults=w.faults - 1), False)
        elif verdict is not Verdict.REFUSED:
            yield Move(label, t, free)

    def operators(self, w: World) -> Iterator[Move]:
        r = self.record(w)
        if r is None:
            return
        # Somebody resumes a paused run some day: a pause is no dead end.
        yield from self.published(w, ev.Resume(), free=r.state is State.PAUSED)
        if w.verbs:
            less = w._replace(verbs=w.verbs - 1)
            for event in (ev.Cancel(), ev.Pause(), ev.Retry()):
                yield from self.published(less, event, free=False)
            for leg in w.legs:
                if leg.latest and leg.phase in ("run", "told", "finish"):
                    t = self.told(less, ev.Kill(Outcome.FAILED, "time limit"))
                    yield Move("kill", t.leg(leg, None), False)
        if w.uses and r.state is State.ENDED:
            yield Move("use again", w._replace(uses=w.uses - 1).put(Message(0, False, w.use + 1)))

    def wrong(self, w: World, no_fault_yet: bool) -> str:
        r = self.record(w)
        if self.holders(w) > 1:
            return "two runners"
        if r is not None and r.outcome is Outcome.COMPLETED and not r.live and 0 in w.done:
            return "completed with a lost item"
        if no_fault_yet and max(w.done) > 1:
            return "an item repeated, although nothing went wrong"
        return ""

    def tidy(self, w: World) -> World:
        """Leave out what can make no difference any more."""
        if not w.uses and w.messages:
            left = tuple(m for m in w.messages if not self.dead_letter(w, m))
            w = w._replace(messages=left)
        return w

    def dead_letter(self, w: World, m: Message) -> bool:
        """Whether ``m`` will be dropped whenever it comes: generations never fall in one use."""
        r = self.record(w)
        if r is None or (r.live and m.generation >= r.generation):
            return False
        verdict, _ = self.book.ask(w.record, ev.Admit(m.generation, OWNER, m.redelivered))
        return verdict is Verdict.DROP


@dataclass
class Explored:
    states: int
    unsafe: list[str]
    stuck: list[str]
    labels: set[str]
    outcomes: set[Outcome]


def explore(
    *,
    items: int = 2,
    faults: int = 2,
    stops: int = 2,
    workers: int = 2,
    verbs: int = 0,
    uses: int = 0,
    max_crashes: int = 0,
) -> Explored:
    x = Explorer(Book(Policy(lease_ttl=1.0, max_crashes=max_crashes)), items, workers)
    first = World(0, (Message(0, False, 0),), (), (0,) * items, faults, stops, verbs, uses)
    numbers, worlds = {first: 0}, [first]
    trail: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]
    unsafe: list[tuple[int, str]] = []
    labels: set[str] = set()
    todo = deque([0])
    while todo:
        n = todo.popleft()
        for label, target, free, wrong in x.moves(worlds[n]):
            target = x.tidy(target)
            t = numbers.get(target)
            labels.add(label)
            if t is None:
                t = numbers[target] = len(worlds)
                worlds.append(target)
                trail.append((n, label))
                before.append([])
                todo.append(t)
                wrong = wrong or x.wrong(target, target.faults == faults)
            if wrong:
                unsafe.append((t, wrong))
            if free:
                before[t].append(n)
    over = [i for i, w in enumerate(worlds) if (r := x.record(w)) is not None and not r.live]
    finds_end, todo = set(over), deque(over)
    while todo:
        for p in before[todo.popleft()]:
            if p not in finds_end:
                finds_end.add(p)
                todo.append(p)
    stuck = [i for i in range(len(worlds)) if i not in finds_end]

    def told(n: int) -> str:
        way, end = [], worlds[n]
        while n > 0:
            n, label = trail[n]
            way.append(label)
        return f"{' > '.join(reversed(way))}: {end}, {x.record(end)}"

    return Explored(
        len(worlds),
        [f"{wrong}: {told(n)}" for n, wrong in unsafe[:3]],
        [told(n) for n in stuck[:3]],
        labels,
        {r.outcome for r in x.book.records if r is not None and r.outcome and not r.live},
    )
