"""What an execution does: it asks the store, works, and goes by one of its ways out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Request
from celery_graceful.model.run.verdict import Policy, Verdict
from celery_graceful.runs.transition import Attempt, Transition
from tests.lives.cast import ITEMS, RUN, Execution, Message, Worker
from tests.lives.pen import Pen
from tests.lives.project import LEASE, MAX_CRASHES, Project

if TYPE_CHECKING:
    from tests.lives.world import World


class Executions:
    """The executions of a :class:`~tests.lives.world.World`, which is made of this."""

    project: Project
    policy: Policy
    clock: float
    asked: int
    broker: list[Message]
    executions: list[Execution]
    latest: Execution | None
    use: int
    saved: int
    done: Counter[int]
    crasher: int | None
    killed: int
    failed: bool
    hurt: int
    lossy: bool
    deleted: bool

    def _pen(self: Any, execution: Execution) -> Any:
        world: World = self
        return Pen(world, execution.worker, execution)

    # -- asking the store --------------------------------------------------------------------

    def ask(
        self, execution: Execution, event: ev.Event, then: Callable[[Transition], None]
    ) -> None:
        """An execution's question to the store; asked again until it is answered."""
        execution.attempt = Attempt(self._pen(execution), RUN, event, self.policy)
        execution.since, execution.then = self.clock, then
        self.ask_again(execution)

    def ask_again(self, execution: Execution) -> None:
        assert execution.attempt is not None
        assert execution.then is not None
        fresh = execution.message.generation == 0 and not execution.message.redelivered
        first_guess = execution.record is not None or fresh
        try:
            if execution.restore is not None:
                self._write_back(execution)
            done = execution.attempt(execution.record, first_guess)
            if done.decision.verdict is Verdict.GONE and self._write_back(execution):
                assert execution.attempt is not None
                done = execution.attempt(execution.record, True)
        except StoreUnavailable:
            if execution.phase != "ask":
                execution.phase = "write"
            return
        unchanged = done.decision.record is None
        if unchanged and done.record is not None:
            assert done.record.stamp != execution.attempt.stamp, "it does not know its own write"
        then, execution.attempt, execution.then = execution.then, None, None
        refused = done.decision.verdict in (Verdict.REFUSED, Verdict.GONE)
        if not refused and execution.record is not None:
            execution.record = done.record
        then(done)

    def _write_back(self, execution: Execution) -> bool:
        """The owner found no record; returns whether the run is its own again."""
        assert execution.record is not None
        if self.deleted:
            return False
        if execution.restore is None:
            event = ev.Restore(execution.fence, execution.record, self.fresh_fence())
            execution.restore = Attempt(self._pen(execution), RUN, event, self.policy)
        done = execution.restore(None, True)
        execution.restore = None
        if done.decision.verdict is not Verdict.DONE:
            return False
        execution.record = done.record
        if execution.attempt is not None:
            own: Any = execution.attempt.event
            event = replace(own, fence=execution.fence)
            execution.attempt = Attempt(self._pen(execution), RUN, event, self.policy)
        return True

    def fresh_fence(self) -> int:
        self.asked += 1
        return 1000 * self.asked

    def give_up_asking(self, execution: Execution) -> None:
        """A lease has gone by without an answer; the message goes back, if it is still there."""
        event = execution.attempt.event if execution.attempt is not None else None
        self.executions.remove(execution)
        self.hurt += 1
        if not isinstance(event, (ev.End, ev.Reclaim)):
            self.broker.append(replace(execution.message, redelivered=True))
        else:
            self.lossy = True

    # -- an execution ------------------------------------------------------------------------

    def deliver(self, message: Message, worker: Worker) -> Execution:
        self.broker.remove(message)
        self.asked += 1
        execution = Execution(worker, message)
        self.executions.append(execution)
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
            deleted=self.deleted and (message.generation > 0 or message.redelivered),
        )
        execution.lease_until = self.clock + LEASE
        self.ask(execution, event, lambda done: self._admitted(execution, done))
        return execution

    def _admitted(self, execution: Execution, done: Transition) -> None:
        verdict, record = done.decision.verdict, done.record
        if verdict is Verdict.DROP:
            self.executions.remove(execution)
            return
        assert record is not None
        if verdict is Verdict.GIVE_UP:
            assert self.hurt >= MAX_CRASHES, "given up too early"
        phases = {Verdict.RETURN_SAVED: "finish", Verdict.GIVE_UP: "give_up"}
        execution.phase = phases.get(verdict, "run")
        execution.record, execution.position, execution.use = (
            record,
            int(record.checkpoint or 0),
            self.use,
        )
        execution.looked_at = self.clock
        if execution is self.latest:
            assert execution.position == self.saved, (
                "it does not go on where the last one was saved"
            )
            assert all(self.done[item] for item in range(execution.position)), "lost items"

    def may_work(self, execution: Execution) -> bool:
        """Between two looks; or the one item it was at while it stood still."""
        return execution.free and (execution.looked_at == self.clock or not execution.overran)

    def item(self, execution: Execution) -> None:
        execution.overran = execution.overran or execution.looked_at != self.clock
        if execution.position == self.crasher:
            self.killed += 1
            self.crash(execution)
            return
        if execution.use == self.use:
            self.done[execution.position] += 1
            if execution is self.latest:
                assert execution.position >= self.saved, "an item that was saved ran again"
                assert not self.failed, "an item ran after the run had failed"
            # A duplicate message of an earlier use may still take over a later one.
            assert self.hurt or self.use > 1 or self.done[execution.position] == 1, (
                "needless repeat"
            )
        execution.position += 1
        if execution.record is not None and execution.record.crashes and execution.position < ITEMS:
            self.flush(execution)  # as careful as an execution after a crash is

    def flush(self, execution: Execution) -> None:
        pen, at, asked_at = self._pen(execution), execution.position, self.clock
        try:
            if execution.restore is not None:
                self._write_back(execution)
            answer = pen.checkpoint(RUN, execution.fence, str(at), at, due_in=LEASE)
            if answer.gone and self._write_back(execution):
                answer = pen.checkpoint(RUN, execution.fence, str(at), at, due_in=LEASE)
        except StoreUnavailable:
            if asked_at < execution.lease_until:
                execution.looked_at, execution.overran = self.clock, False
            else:
                execution.overran = True  # another may have the run: it pauses
            return
        if not answer.accepted:
            self.executions.remove(execution)
            return
        assert execution.record is not None
        execution.record = replace(
            execution.record, checkpoint=str(at), steps=at, version=answer.version
        )
        execution.looked_at, execution.overran, execution.lease_until = (
            self.clock,
            False,
            asked_at + LEASE,
        )
        if answer.requested is not None:
            execution.phase = "told"
            execution.why = "paused" if answer.requested is Request.PAUSE else "cancelled"

    def leave(self, execution: Execution, why: str) -> None:
        saved = (execution.fence, str(execution.position), execution.position, why)
        execution.why = why
        event: ev.Event = ev.HandOver(*saved, successor=why != "returned")
        if why == "retry":
            event = ev.Wait(*saved, delay=3 * LEASE)
        self.ask(execution, event, lambda done: self._left(execution, why, done))

    def _left(self, execution: Execution, why: str, done: Transition) -> None:
        if done.decision.verdict is Verdict.PUBLISH and done.record is not None:
            execution.phase = "give_back" if why == "returned" else "publish"
            execution.successor = done.record.generation
            execution.sent = done.record.checkpoint
        else:
            self.executions.remove(execution)

    def leave_without_store(self, execution: Execution, how: str = "sent") -> None:
        """The store is away, as the execution sees it: its message brings the checkpoint.

        With ``died`` its process does so before it can say that its own message is done with.
        """
        assert execution.record is not None
        if how == "died":
            self.crash(execution)
        else:
            self.executions.remove(execution)
        copies = {"lost": 0, "twice": 2}.get(how, 1)
        if not copies:
            self.lossy = True
            self.hurt += 1
        at = str(execution.position)
        sent = Message(
            execution.record.generation + 1, use=execution.use, checkpoint=at, left=execution.fence
        )
        self.broker += [replace(sent) for _ in range(copies)]

    def publish(self, execution: Execution, how: str = "sent") -> None:
        """Let go for good; a refused publish takes the run back."""
        if how == "refused" and execution.phase == "publish" and execution.why != "retry":
            asked_at = self.clock
            event = ev.Reclaim(execution.fence, execution.worker.name)
            self.ask(execution, event, lambda done: self._reclaimed(execution, asked_at, done))
            return
        self.executions.remove(execution)
        if execution.phase == "give_back":
            self.broker.append(replace(execution.message, redelivered=True))
            return
        copies = {"sent": 1, "twice": 2}.get(how, 0)
        self.lossy = self.lossy or not copies
        sent = Message(execution.successor, use=execution.use, checkpoint=execution.sent)
        self.broker += [replace(sent) for _ in range(copies)]

    def _reclaimed(self, execution: Execution, asked_at: float, done: Transition) -> None:
        if done.decision.verdict is Verdict.RESUME:
            execution.phase, execution.lease_until = "run", asked_at + LEASE
            execution.looked_at, execution.overran = self.clock, False
        else:
            self.executions.remove(execution)

    def finish(self, execution: Execution) -> None:
        at = execution.position
        event = ev.Finish(execution.fence, str(at), at, "result", Outcome.COMPLETED)
        self.ask(execution, event, lambda done: self._finished(execution, done))

    def exit(self, execution: Execution) -> None:
        """Its item raises what is no ``Exception``: the run fails, and no item runs again."""
        at = execution.position
        event = ev.Finish(execution.fence, str(at), at, "error", Outcome.FAILED)
        self.ask(execution, event, lambda done: self._finished(execution, done))

    def _finished(self, execution: Execution, done: Transition) -> None:
        if done.decision.verdict is Verdict.DONE:
            execution.phase = "finish"
            self.failed = done.record is not None and done.record.outcome is Outcome.FAILED
        else:
            self.executions.remove(execution)

    def end(self, execution: Execution) -> None:
        saved = execution.record.outcome if execution.record is not None else None
        failed = execution.phase != "finish" or saved is Outcome.FAILED
        outcome = Outcome.FAILED if failed else Outcome.COMPLETED
        self.ask(
            execution,
            ev.End(execution.fence, outcome),
            lambda done: self.executions.remove(execution),
        )

    def crash(self, execution: Execution) -> None:
        """The execution's process dies, and its worker sees it."""
        self.executions.remove(execution)
        self.hurt += 1
        self.broker.append(replace(execution.message, redelivered=True))
        execution.worker.dead.append(
            ev.Release(execution.worker.name, execution.message.generation)
        )
