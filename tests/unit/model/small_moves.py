"""What can happen next in the small world that test_exhaustive.py walks through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, Request, State
from celery_graceful.model.run.verdict import Verdict
from tests.unit.model.small_world import NOW, OWNER, Book, Execution, Message, Move, World


@dataclass
class Explorer:
    book: Book
    items: int
    workers: int
    #: How many faults may happen.
    faults: int
    #: Whether items of a later use of the id may not repeat either.
    strict: bool
    #: How often the record may vanish.
    vanishes: int = 0
    #: Whether the first fence of a record is one that nobody else can hold.
    unique_fences: bool = True

    def moves(self, w: World) -> Iterator[Move]:
        if len(w.executions) < self.workers:
            yield from self.admissions(w)
        for execution in dict.fromkeys(w.executions):
            if execution.phase == "dead":
                yield Move("its worker dies too", w.execution(execution, None))
                event = ev.Release(OWNER, execution.message.generation)
                yield Move("release", self.told(w, event).execution(execution, None))
            else:
                yield from self.execution_moves(w, execution)
                yield from self.harm(w, execution)
        yield from self.bystanders(w)
        yield from self.operators(w)
        yield from self.vanish(w)

    def vanish(self, w: World) -> Iterator[Move]:
        """The record is gone; where somebody knows of the run, it has to end all the same."""
        r = self.record(w)
        known = w.messages or any(execution.phase != "dead" for execution in w.executions)
        if w.vanished < self.vanishes and r is not None and r.live and known:
            yield Move("vanish", w._replace(record=0, vanished=w.vanished + 1), free=False)

    def fresh_fence(self, w: World) -> int:
        return 1 + 100 * w.vanished if self.unique_fences else 1

    def admit(self, w: World, m: Message) -> ev.Admit:
        fresh = self.fresh_fence(w)
        travels = m.travels or None
        return ev.Admit(
            m.generation,
            OWNER,
            m.redelivered,
            travels,
            fresh_fence=fresh,
            left=m.left or None,
            steps=int(m.travels or 0) if m.left else 0,
        )

    def held(self, number: int) -> int:
        return number if self.vanishes else 0

    def travels(self, number: int) -> str:
        record = self.book.records[number]
        return (record.checkpoint or "") if self.vanishes and record is not None else ""

    def write_back(self, w: World, execution: Execution) -> Move:
        """The owner found nothing, and writes what it holds."""
        held = self.book.records[execution.held]
        assert held is not None
        verdict, after = self.book.ask(0, ev.Restore(execution.fence, held, self.fresh_fence(w)))
        back = self.book.records[after]
        assert verdict is Verdict.DONE
        assert back is not None
        again = execution._replace(fence=back.fence, latest=True, held=after)
        return Move("write back", w._replace(record=after).execution(execution, again))

    def record(self, w: World) -> Record | None:
        return self.book.records[w.record]

    def told(self, w: World, event: ev.Event) -> World:
        return w._replace(record=self.book.ask(w.record, event)[1])

    def admissions(self, w: World) -> Iterator[Move]:
        r = self.record(w)
        for m in dict.fromkeys(w.messages):
            verdict, after = self.book.ask(w.record, self.admit(w, m))
            rest = w.take(m)
            taken = self.book.records[after]
            if verdict is Verdict.DROP or taken is None:
                yield Move("drop", rest)
                continue
            phases = {Verdict.RETURN_SAVED: "finish", Verdict.GIVE_UP: "give_up"}
            again = verdict is Verdict.START and r is not None and m.use == w.use
            if m.use != rest.use:  # what was done before its record vanished stays done
                rest = rest._replace(use=m.use, done=(0,) * self.items)
            position, phase = int(taken.checkpoint or 0), phases.get(verdict, "run")
            execution = Execution(m, taken.fence, position, rest.use, phase, held=self.held(after))
            t = rest.execution(None, execution)._replace(record=after)
            yield Move(str(verdict), t, wrong="started again after its end" if again else "")

    def by(self, w: World, execution: Execution, event: ev.Event) -> tuple[Verdict, World, str]:
        """An execution's own event; only the one that was admitted last may have any effect."""
        verdict, after = self.book.ask(w.record, event)
        refused = verdict in (Verdict.REFUSED, Verdict.GONE)
        stale = not refused and not execution.latest
        return verdict, w._replace(record=after), "a stale execution wrote" if stale else ""

    def execution_moves(self, w: World, execution: Execution) -> Iterator[Move]:
        if execution.phase == "run":
            yield from self.loop_moves(w, execution)
        elif execution.phase == "told":
            yield self.leave(w, execution, execution.detail)
        elif w.record == 0 and execution.phase in ("finish", "give_up"):
            yield self.write_back(w, execution)
        elif execution.phase == "publish":
            yield from self.publish_moves(w, execution)
        elif execution.phase == "give_back":
            yield Move(
                "give back",
                w.put(execution.message._replace(redelivered=True)).execution(execution, None),
            )
        else:
            outcome = Outcome.COMPLETED if execution.phase == "finish" else Outcome.FAILED
            verdict, t, wrong = self.by(w, execution, ev.End(execution.fence, outcome))
            yield Move(f"end: {verdict}", t.execution(execution, None), wrong=wrong)

    def publish_moves(self, w: World, execution: Execution) -> Iterator[Move]:
        travels = str(execution.position) if self.vanishes else ""
        message = Message(int(execution.detail), False, execution.use, travels)
        yield Move("publish", w.put(message).execution(execution, None))
        if w.faults:
            hurt = w._replace(faults=w.faults - 1)
            yield Move("publish lost", hurt.execution(execution, None), False)
            yield Move("publish uncertain", hurt.put(message), False)
            if w.record == 0:
                yield self.write_back(hurt, execution)
                return
            verdict, t, wrong = self.by(hurt, execution, ev.Reclaim(execution.fence, OWNER))
            r, again = self.record(t), None
            if verdict is Verdict.RESUME and r is not None:
                held = self.held(t.record)
                again = execution._replace(fence=r.fence, phase="run", detail="", held=held)
            yield Move("publish refused", t.execution(execution, again), False, wrong)

    def loop_moves(self, w: World, execution: Execution) -> Iterator[Move]:
        at = execution.position
        if (
            at < self.items and execution.latest
        ):  # a stale execution's effects can only hide a lost item
            t = w.execution(execution, execution._replace(position=at + 1))
            if execution.use == w.use:
                t = t._replace(done=(*w.done[:at], min(w.done[at] + 1, 2), *w.done[at + 1 :]))
            yield Move("item", t)
        if w.stops:
            yield from self.without_store(w._replace(stops=w.stops - 1), execution)
        if w.record == 0:
            yield self.write_back(w, execution)
            return
        if at == self.items:
            event = ev.Finish(execution.fence, str(at), at, "r", Outcome.COMPLETED)
            verdict, t, wrong = self.by(w, execution, event)
            held = self.held(t.record)
            after = (
                execution._replace(phase="finish", held=held) if verdict is Verdict.DONE else None
            )
            yield Move("finish", t.execution(execution, after), True, wrong)
        yield self.flush(w, execution)
        if w.stops:
            fewer = w._replace(stops=w.stops - 1)
            yield self.leave(fewer, execution, "shutdown")
            yield self.leave(fewer, execution, "returned")
            yield self.leave(fewer, execution, "retry")

    def without_store(self, w: World, execution: Execution) -> Iterator[Move]:
        """The store is away: the execution leaves by a message alone."""
        r = self.record(w)
        known = (
            r.generation
            if r is not None and r.fence == execution.fence
            else execution.message.generation
        )
        message = Message(known + 1, False, execution.use, str(execution.position), execution.fence)
        yield Move("leave: without the store", w.put(message).execution(execution, None), False)
        if w.faults:
            hurt = w._replace(faults=w.faults - 1)
            yield Move("leave: without the store, lost", hurt.execution(execution, None), False)
            back = hurt.put(message).put(execution.message._replace(redelivered=True))
            dead = execution._replace(phase="dead", detail="")
            yield Move("leave: without the store, crash", back.execution(execution, dead), False)
            waits = execution._replace(phase="told", detail="store_unavailable")
            yield Move(
                "leave: without the store, uncertain", hurt.put(message).execution(execution, waits)
            )

    def flush(self, w: World, execution: Execution) -> Move:
        after = self.book.flush(w.record, execution)
        if after is None:
            return Move("fenced", w.execution(execution, None))
        r, t = self.book.records[after], w._replace(record=after)
        saved = execution._replace(held=self.held(after))
        if r is not None and r.requested is not None:
            reason = "paused" if r.requested is Request.PAUSE else "cancelled"
            saved = saved._replace(phase="told", detail=reason)
        if saved != execution:
            t = t.execution(execution, saved)
        return Move("flush", t, wrong="" if execution.latest else "a stale execution flushed")

    def leave(self, w: World, execution: Execution, why: str) -> Move:
        if w.record == 0:
            return self.write_back(w, execution)
        saved = (execution.fence, str(execution.position), execution.position, why)
        hand_over = ev.HandOver(*saved, successor=why != "returned")
        event = ev.Wait(*saved, delay=1.0) if why == "retry" else hand_over
        verdict, t, wrong = self.by(w, execution, event)
        r, after = self.record(t), None
        if verdict is Verdict.PUBLISH and r is not None:
            phase = "give_back" if why == "returned" else "publish"
            held = self.held(t.record)
            after = execution._replace(phase=phase, detail=str(r.generation), held=held)
        return Move(
            f"leave: {why} {verdict}",
            t.execution(execution, after),
            execution.phase == "told",
            wrong,
        )

    def harm(self, w: World, execution: Execution) -> Iterator[Move]:
        if w.faults:
            hurt = w._replace(faults=w.faults - 1)
            back = hurt.put(execution.message._replace(redelivered=True))
            yield Move(
                "crash",
                back.execution(execution, execution._replace(phase="dead", detail="")),
                False,
            )
            yield Move("redelivery", back, False)

    def holders(self, w: World) -> int:
        """How many executions hold the run by right: a valid fence and a live lease."""
        r = self.record(w)
        if r is None or r.state not in (State.RUNNING, State.FINISHING) or not r.leased(NOW):
            return 0
        at_work = ("run", "told", "finish", "give_up")
        return sum(g.fence == r.fence and g.phase in at_work for g in w.executions)

    def bystanders(self, w: World) -> Iterator[Move]:
        r = self.record(w)
        if r is None or r.due_at is None:
            return
        if r.due_at <= NOW:
            yield from self.published(w, ev.Rescue(), free=True)
            return
        late = w._replace(record=self.book.late(w.record, r))
        # A message that is on its way is quicker than a lease.
        on_its_way = any(m.left == r.fence for m in w.messages)
        if not (self.holders(w) or on_its_way):
            yield Move("time passes", late)
        elif w.faults:
            yield Move("stall", late._replace(faults=w.faults - 1), False)

    def published(self, w: World, event: ev.Event, free: bool) -> Iterator[Move]:
        """A decision by somebody who may have to publish, and may fail to."""
        verdict, after = self.book.ask(w.record, event)
        label, t, r = (
            type(event).__name__.lower(),
            w._replace(record=after),
            self.book.records[after],
        )
        if verdict is Verdict.PUBLISH and r is not None:
            message = Message(r.generation, False, w.use, self.travels(after))
            yield Move(label, t.put(message), free)
            if w.faults:
                yield Move(f"{label}, lost", t._replace(faults=w.faults - 1), False)
        elif verdict not in (Verdict.REFUSED, Verdict.GONE):
            yield Move(label, t, free)

    def operators(self, w: World) -> Iterator[Move]:
        r = self.record(w)
        if r is None:
            return
        # Somebody resumes a paused run some day: a pause is no dead end.
        yield from self.published(w, ev.Resume(), free=r.state is State.PAUSED)
        if w.verbs:
            less = w._replace(verbs=w.verbs - 1)
            for event in (ev.Cancel(), ev.Pause(), ev.Resend()):
                yield from self.published(less, event, free=False)
            for execution in w.executions:
                if execution.latest and execution.phase in ("run", "told", "finish"):
                    t = self.told(less, ev.Kill(Outcome.FAILED, "time limit"))
                    yield Move("kill", t.execution(execution, None), False)
        if w.uses and r.state is State.ENDED:
            yield Move("use again", w._replace(uses=w.uses - 1).put(Message(0, False, w.use + 1)))

    def exactly_once(self, w: World) -> bool:
        """Whether no item may repeat: nothing went wrong yet."""
        return w.faults == self.faults and not w.vanished and (self.strict or not w.use)

    def wrong(self, w: World) -> str:
        r = self.record(w)
        if self.holders(w) > 1:
            return "two runners"
        if r is not None and r.outcome is Outcome.COMPLETED and not r.live and 0 in w.done:
            return "completed with a lost item"
        if max(w.done) > 1 and self.exactly_once(w):
            return "an item repeated, although nothing went wrong"
        return ""

    def tidy(self, w: World) -> World:
        """Leave out what can make no difference any more."""
        if 2 in w.done and not self.exactly_once(w):
            w = w._replace(done=tuple(min(times, 1) for times in w.done))
        if not w.uses and w.messages:
            left = tuple(m for m in w.messages if not self.dead_letter(w, m))
            w = w._replace(messages=left)
        return w

    def dead_letter(self, w: World, m: Message) -> bool:
        """Whether ``m`` will be dropped whenever it comes: generations never fall in one use."""
        r = self.record(w)
        if r is None or (r.live and m.generation >= r.generation):
            return False
        if self.vanishes > w.vanished:
            return False
        verdict, _ = self.book.ask(w.record, self.admit(w, m))
        return verdict is Verdict.DROP
