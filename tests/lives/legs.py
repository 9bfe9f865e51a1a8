"""What a leg does: it asks the store, works, and goes by one of its ways out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model import events as ev
from celery_graceful.model.decide import Policy, Verdict
from celery_graceful.model.record import Outcome, Request
from celery_graceful.runs.transition import Transition, _Attempt
from tests.lives.cast import ITEMS, RUN, Leg, Message, Worker
from tests.lives.pen import Pen
from tests.lives.project import LEASE, MAX_CRASHES, Project

if TYPE_CHECKING:
    from tests.lives.world import World

__all__ = ["Legs"]


class Legs:
    """The legs of a :class:`~tests.lives.world.World`, which is made of this."""

    project: Project
    policy: Policy
    clock: float
    asked: int
    broker: list[Message]
    legs: list[Leg]
    latest: Leg | None
    use: int
    saved: int
    done: Counter[int]
    poison: int | None
    killed: int
    failed: bool
    hurt: int
    lossy: bool

    def _pen(self: Any, leg: Leg) -> Any:
        world: World = self
        return Pen(world, leg.worker, leg)

    # -- asking the store --------------------------------------------------------------------

    def ask(self, leg: Leg, event: ev.Event, then: Callable[[Transition], None]) -> None:
        """A leg's question to the store; asked again until it is answered."""
        leg.attempt = _Attempt(self._pen(leg), RUN, event, self.policy)
        leg.since, leg.then = self.clock, then
        self.ask_again(leg)

    def ask_again(self, leg: Leg) -> None:
        assert leg.attempt is not None
        assert leg.then is not None
        fresh = leg.message.generation == 0 and not leg.message.redelivered
        first_guess = leg.record is not None or fresh
        try:
            if leg.restore is not None:
                self._write_back(leg)
            done = leg.attempt(leg.record, first_guess)
            if done.decision.verdict is Verdict.GONE and self._write_back(leg):
                assert leg.attempt is not None
                done = leg.attempt(leg.record, True)
        except StoreUnavailable:
            if leg.phase != "ask":
                leg.phase = "write"
            return
        unchanged = done.decision.record is None
        if unchanged and done.record is not None:
            assert done.record.stamp != leg.attempt.stamp, "it does not know its own write"
        then, leg.attempt, leg.then = leg.then, None, None
        refused = done.decision.verdict in (Verdict.REFUSED, Verdict.GONE)
        if not refused and leg.record is not None:
            leg.record = done.record
        then(done)

    def _write_back(self, leg: Leg) -> bool:
        """The owner found no record; returns whether the run is its own again."""
        assert leg.record is not None
        if leg.restore is None:
            event = ev.Restore(leg.fence, leg.record, self.fresh_fence())
            leg.restore = _Attempt(self._pen(leg), RUN, event, self.policy)
        done = leg.restore(None, True)
        leg.restore = None
        if done.decision.verdict is not Verdict.DONE:
            return False
        leg.record = done.record
        if leg.attempt is not None:
            own: Any = leg.attempt.event
            event = replace(own, fence=leg.fence)
            leg.attempt = _Attempt(self._pen(leg), RUN, event, self.policy)
        return True

    def fresh_fence(self) -> int:
        self.asked += 1
        return 1000 * self.asked

    def give_up_asking(self, leg: Leg) -> None:
        """A lease has gone by without an answer; the message goes back, if it is still there."""
        event = leg.attempt.event if leg.attempt is not None else None
        self.legs.remove(leg)
        self.hurt += 1
        if not isinstance(event, (ev.End, ev.Reclaim)):
            self.broker.append(replace(leg.message, redelivered=True))
        else:
            self.lossy = True

    # -- a leg -------------------------------------------------------------------------------

    def deliver(self, message: Message, worker: Worker) -> Leg:
        self.broker.remove(message)
        self.asked += 1
        leg = Leg(worker, message)
        self.legs.append(leg)
        event = ev.Admit(
            message.generation,
            worker.name,
            message.redelivered,
            envelope=self.project.envelope,
            at=1e6 * self.asked + worker.skew,
            checkpoint=message.checkpoint,
            fresh_fence=1000 * self.asked,
            left=message.left,
            steps=0 if message.left is None else int(message.checkpoint or 0),
        )
        leg.lease_until = self.clock + LEASE
        self.ask(leg, event, lambda done: self._admitted(leg, done))
        return leg

    def _admitted(self, leg: Leg, done: Transition) -> None:
        verdict, record = done.decision.verdict, done.record
        if verdict is Verdict.DROP:
            self.legs.remove(leg)
            return
        assert record is not None
        if verdict is Verdict.GIVE_UP:
            assert self.hurt >= MAX_CRASHES, "given up too early"
        phases = {Verdict.RETURN_SAVED: "finish", Verdict.GIVE_UP: "give_up"}
        leg.phase = phases.get(verdict, "run")
        leg.record, leg.position, leg.use = record, int(record.checkpoint or 0), self.use
        leg.looked_at = self.clock
        if leg is self.latest:
            assert leg.position == self.saved, "it does not go on where the last one was saved"
            assert all(self.done[item] for item in range(leg.position)), "lost items"

    def may_work(self, leg: Leg) -> bool:
        """Between two looks; or the one item it was at while it stood still."""
        return leg.free and (leg.looked_at == self.clock or not leg.overran)

    def item(self, leg: Leg) -> None:
        leg.overran = leg.overran or leg.looked_at != self.clock
        if leg.position == self.poison:
            self.killed += 1
            self.crash(leg)
            return
        if leg.use == self.use:
            self.done[leg.position] += 1
            if leg is self.latest:
                assert leg.position >= self.saved, "an item that was saved ran again"
                assert not self.failed, "an item ran after the run had failed"
            # A duplicate message of an earlier use may still take over a later one.
            assert self.hurt or self.use > 1 or self.done[leg.position] == 1, "needless repeat"
        leg.position += 1
        if leg.record is not None and leg.record.crashes and leg.position < ITEMS:
            self.flush(leg)  # as careful as a leg after a crash is

    def flush(self, leg: Leg) -> None:
        pen, at, asked_at = self._pen(leg), leg.position, self.clock
        try:
            if leg.restore is not None:
                self._write_back(leg)
            answer = pen.checkpoint(RUN, leg.fence, str(at), at, due_in=LEASE)
            if answer.gone and self._write_back(leg):
                answer = pen.checkpoint(RUN, leg.fence, str(at), at, due_in=LEASE)
        except StoreUnavailable:
            if asked_at < leg.lease_until:
                leg.looked_at, leg.overran = self.clock, False
            else:
                leg.overran = True  # another may have the run: it pauses
            return
        if not answer.accepted:
            self.legs.remove(leg)
            return
        assert leg.record is not None
        leg.record = replace(leg.record, checkpoint=str(at), steps=at, version=answer.version)
        leg.looked_at, leg.overran, leg.lease_until = self.clock, False, asked_at + LEASE
        if answer.requested is not None:
            leg.phase = "told"
            leg.why = "paused" if answer.requested is Request.PAUSE else "cancelled"

    def leave(self, leg: Leg, why: str) -> None:
        saved = (leg.fence, str(leg.position), leg.position, why)
        leg.why = why
        event: ev.Event = ev.HandOver(*saved, successor=why != "returned")
        if why == "retry":
            event = ev.Wait(*saved, delay=3 * LEASE)
        self.ask(leg, event, lambda done: self._left(leg, why, done))

    def _left(self, leg: Leg, why: str, done: Transition) -> None:
        if done.decision.verdict is Verdict.PUBLISH and done.record is not None:
            leg.phase = "give_back" if why == "returned" else "publish"
            leg.successor = done.record.generation
            leg.sent = done.record.checkpoint
        else:
            self.legs.remove(leg)

    def leave_without_store(self, leg: Leg, how: str = "sent") -> None:
        """The store is away, as the leg sees it: it goes, and its message tells of its checkpoint.

        With ``died`` its process does so before it can say that its own message is done with.
        """
        assert leg.record is not None
        if how == "died":
            self.crash(leg)
        else:
            self.legs.remove(leg)
        copies = {"lost": 0, "twice": 2}.get(how, 1)
        if not copies:
            self.lossy = True
            self.hurt += 1
        at = str(leg.position)
        sent = Message(leg.record.generation + 1, use=leg.use, checkpoint=at, left=leg.fence)
        self.broker += [replace(sent) for _ in range(copies)]

    def publish(self, leg: Leg, how: str = "sent") -> None:
        """Let go for good; a refused publish takes the run back."""
        if how == "refused" and leg.phase == "publish" and leg.why != "retry":
            asked_at = self.clock
            event = ev.Reclaim(leg.fence, leg.worker.name)
            self.ask(leg, event, lambda done: self._reclaimed(leg, asked_at, done))
            return
        self.legs.remove(leg)
        if leg.phase == "give_back":
            self.broker.append(replace(leg.message, redelivered=True))
            return
        copies = {"sent": 1, "twice": 2}.get(how, 0)
        self.lossy = self.lossy or not copies
        sent = Message(leg.successor, use=leg.use, checkpoint=leg.sent)
        self.broker += [replace(sent) for _ in range(copies)]

    def _reclaimed(self, leg: Leg, asked_at: float, done: Transition) -> None:
        if done.decision.verdict is Verdict.RESUME:
            leg.phase, leg.lease_until = "run", asked_at + LEASE
            leg.looked_at, leg.overran = self.clock, False
        else:
            self.legs.remove(leg)

    def finish(self, leg: Leg) -> None:
        at = leg.position
        event = ev.Finish(leg.fence, str(at), at, "result", Outcome.COMPLETED)
        self.ask(leg, event, lambda done: self._finished(leg, done))

    def exit(self, leg: Leg) -> None:
        """Its item raises what is no ``Exception``: the run fails, and no item runs again."""
        at = leg.position
        event = ev.Finish(leg.fence, str(at), at, "error", Outcome.FAILED)
        self.ask(leg, event, lambda done: self._finished(leg, done))

    def _finished(self, leg: Leg, done: Transition) -> None:
        if done.decision.verdict is Verdict.DONE:
            leg.phase = "finish"
            self.failed = done.record is not None and done.record.outcome is Outcome.FAILED
        else:
            self.legs.remove(leg)

    def end(self, leg: Leg) -> None:
        saved = leg.record.outcome if leg.record is not None else None
        failed = leg.phase != "finish" or saved is Outcome.FAILED
        outcome = Outcome.FAILED if failed else Outcome.COMPLETED
        self.ask(leg, ev.End(leg.fence, outcome), lambda done: self.legs.remove(leg))

    def crash(self, leg: Leg) -> None:
        """The leg's process dies, and its worker sees it."""
        self.legs.remove(leg)
        self.hurt += 1
        self.broker.append(replace(leg.message, redelivered=True))
        leg.worker.dead.append(ev.Release(leg.worker.name, leg.message.generation))
