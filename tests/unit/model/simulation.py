"""A broker, workers and a store in one thread, for test_protocol.py. The clock is a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from celery_graceful.model import events as ev
from celery_graceful.model.decide import Decision, Policy, Verdict, decide
from celery_graceful.model.record import Outcome, Record, Request, RunKey, State
from celery_graceful.stores.memory import MemoryStore

RUN = RunKey("task", "id")
ITEMS = 6
LEASE = 10.0
POLICY = Policy(lease_ttl=LEASE, max_crashes=3, keep_runs=1e9)

Interruption = Callable[[], object] | None


@dataclass
class Message:
    generation: int
    redelivered: bool = False
    #: Which use of the id it belongs to: known to the test, not to the protocol.
    use: int = 1


@dataclass(eq=False)
class Leg:
    owner: str
    message: Message
    fence: int
    position: int
    use: int
    #: run, told, publish, give_back, finish, give_up
    phase: str = "run"
    why: str = ""
    #: The generation to publish.
    successor: int = 0

    @property
    def carries(self) -> bool:
        return self.phase in ("run", "told", "finish", "give_up")


class Simulation:
    """What a worker does with each verdict, and what the promises say about it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = MemoryStore(lambda: self.now)
        self.broker = [Message(0)]
        self.legs: list[Leg] = []
        self.dead: list[tuple[str, int]] = []
        self.latest: Leg | None = None
        self.use = 0
        self.published_uses = 1
        self.done: Counter[int] = Counter()
        self.hurt = 0

    @property
    def record(self) -> Record | None:
        return self.store.load(RUN).record

    # -- the store: decide, compare and set, and again if somebody was quicker ---------------

    def apply(
        self, event: ev.Event, leg: Leg | None = None, meanwhile: Interruption = None
    ) -> tuple[Decision, Record | None]:
        while True:
            found = self.store.load(RUN)
            before, decision = found.record, decide(found.record, event, found.now, POLICY)
            if meanwhile is not None:
                meanwhile()
                meanwhile = None
            if decision.record is None:
                return decision, before
            version = before.version if before else 0
            swapped = self.store.swap(
                RUN, version, decision.record, due_in=decision.due_in, keep=decision.keep
            )
            if swapped.done:
                self._judge(before, decision, leg)
                return decision, self.record

    def _judge(self, before: Record | None, decision: Decision, leg: Leg | None) -> None:
        after = decision.record
        assert after is not None
        assert leg is None or leg is self.latest, f"a stale leg wrote: {leg}"
        if before is not None:
            assert after.fence >= before.fence
            assert decision.verdict is Verdict.START or after.generation >= before.generation
            assert before.live or decision.verdict is Verdict.START, "an ended run came to life"
        if not after.live and after.outcome is Outcome.COMPLETED:
            assert set(self.done) == set(range(ITEMS)), f"lost items: {self.done}"
        if decision.verdict is Verdict.GIVE_UP:
            assert self.hurt >= POLICY.max_crashes, "given up too early"

    # -- a leg -------------------------------------------------------------------------------

    def deliver(self, message: Message, owner: str, meanwhile: Interruption = None) -> Leg | None:
        self.broker.remove(message)
        event = ev.Admit(message.generation, owner, message.redelivered, envelope=b"envelope")
        decision, record = self.apply(event, None, meanwhile)
        if decision.verdict is Verdict.DROP:
            return None
        assert record is not None
        if decision.verdict is Verdict.START:
            assert message.use > self.use, "started again after its end"
            self.use, self.done, self.hurt = message.use, Counter(), 0
        phases = {Verdict.RETURN_SAVED: "finish", Verdict.GIVE_UP: "give_up"}
        phase = phases.get(decision.verdict, "run")
        position = int(record.checkpoint or 0)
        self.latest = Leg(owner, message, record.fence, position, self.use, phase)
        self.legs.append(self.latest)
        return self.latest

    def item(self, leg: Leg) -> None:
        if leg.use == self.use:
            self.done[leg.position] += 1
            # A surplus message of an earlier use may still take over a later one.
            assert self.hurt or self.use > 1 or self.done[leg.position] == 1, "needless repeat"
        leg.position += 1

    def flush(self, leg: Leg) -> None:
        answer = self.store.checkpoint(
            RUN, leg.fence, str(leg.position), leg.position, due_in=LEASE
        )
        if not answer.accepted:
            self.legs.remove(leg)
            return
        assert leg is self.latest, "a stale leg flushed"
        if answer.requested is not None:
            leg.phase = "told"
            leg.why = "paused" if answer.requested is Request.PAUSE else "cancelled"

    def leave(self, leg: Leg, why: str, meanwhile: Interruption = None) -> None:
        saved = (leg.fence, str(leg.position), leg.position, why)
        event: ev.Event = ev.HandOver(*saved, successor=why != "returned")
        if why == "retry":
            event = ev.Wait(*saved, delay=3 * LEASE)
        decision, _ = self.apply(event, leg, meanwhile)
        if decision.verdict is Verdict.PUBLISH and decision.record is not None:
            leg.phase = "give_back" if why == "returned" else "publish"
            leg.successor = decision.record.generation
        else:
            self.legs.remove(leg)

    def publish(self, leg: Leg, how: str = "sent") -> None:
        """Let go for good; a refused publish takes the run back."""
        if how == "refused":
            decision, record = self.apply(ev.Reclaim(leg.fence, leg.owner), leg)
            if decision.verdict is Verdict.RESUME and record is not None:
                leg.fence, leg.phase = record.fence, "run"
            else:
                self.legs.remove(leg)
            return
        self.legs.remove(leg)
        if leg.phase == "give_back":
            self.broker.append(replace(leg.message, redelivered=True))
            return
        copies = {"sent": 1, "lost": 0, "twice": 2}[how]
        self.broker += [Message(leg.successor, use=leg.use) for _ in range(copies)]

    def finish(self, leg: Leg, meanwhile: Interruption = None) -> None:
        at = leg.position
        event = ev.Finish(leg.fence, str(at), at, "result", Outcome.COMPLETED)
        decision, _ = self.apply(event, leg, meanwhile)
        if decision.verdict is Verdict.DONE:
            leg.phase = "finish"
        else:
            self.legs.remove(leg)

    def end(self, leg: Leg, meanwhile: Interruption = None) -> None:
        outcome = Outcome.COMPLETED if leg.phase == "finish" else Outcome.FAILED
        self.apply(ev.End(leg.fence, outcome), leg, meanwhile)
        self.legs.remove(leg)

    def crash(self, leg: Leg, *, seen: bool) -> None:
        """The process dies; ``seen``: its worker lives and will say so."""
        self.legs.remove(leg)
        self.hurt += 1
        self.broker.append(replace(leg.message, redelivered=True))
        if seen:
            self.dead.append((leg.owner, leg.message.generation))

    # -- bystanders and time -----------------------------------------------------------------

    def report_dead(self) -> None:
        self.apply(ev.Release(*self.dead.pop(0)))

    def told(self, event: ev.Event, *, lost: bool = False, meanwhile: Interruption = None) -> None:
        """A rescuer or an operator, who publishes if told to."""
        decision, record = self.apply(event, None, meanwhile)
        if decision.verdict is Verdict.PUBLISH and record is not None and not lost:
            self.broker.append(Message(record.generation, use=self.use))

    def use_again(self) -> None:
        """A fresh message under the same id; one at a time, else they cannot be told apart."""
        if all(m.use <= self.use for m in self.broker):
            self.published_uses += 1
            self.broker.append(Message(0, use=self.published_uses))

    def pass_time(self, leases: float, *, beating: bool = True) -> None:
        if not beating:
            self.now += leases * LEASE
            self.hurt += any(leg.carries for leg in self.legs)
            return
        for _ in range(int(leases * 2)):
            for owner in sorted({leg.owner for leg in self.legs}):
                self.store.beat(owner, [RUN], due_in=LEASE)
            self.now += LEASE / 2

    def step(self, leg: Leg) -> None:
        """What a leg does next when nothing disturbs it."""
        if leg.phase in ("publish", "give_back"):
            self.publish(leg)
        elif leg.phase in ("finish", "give_up"):
            self.end(leg)
        elif leg.phase == "told":
            self.leave(leg, leg.why)
        elif leg.position == ITEMS:
            self.finish(leg)
        else:
            self.item(leg)
            self.flush(leg)

    def settle(self, rounds: int = 12) -> None:
        """Without further harm every run has to end, and soon."""
        for _ in range(rounds):
            while self.dead:
                self.report_dead()
            while self.broker or self.legs:
                for leg in list(self.legs):
                    self.step(leg)
                if self.broker:
                    self.deliver(self.broker[0], "w9")
            record = self.record
            if record is not None and not record.live:
                return
            if record is not None and record.state is State.PAUSED:
                self.told(ev.Resume())
            elif record is not None and record.due_at is not None:
                self.now = max(self.now, record.due_at)
                self.told(ev.Rescue())
        raise AssertionError(f"no way forward: {self.record}")
