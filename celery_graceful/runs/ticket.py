"""A ticket is an execution's right to a run: what it may write under its fence."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from celery_graceful._celery.message.envelope import unpack
from celery_graceful._celery.message.headers import HEADER_LIMIT, uptime
from celery_graceful.errors import CorruptRecord
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Record, RunKey, State, replace
from celery_graceful.model.run.verdict import Decision, Verdict, refuse
from celery_graceful.runs.lost.vanished import fresh_fence, warn_written_back
from celery_graceful.runs.oneoff.once import note_end
from celery_graceful.runs.operating.deletions import was_deleted
from celery_graceful.runs.successors import broker_answers, publish_record, publish_without_store
from celery_graceful.runs.transition import (
    Attempt,
    Patience,
    Transition,
    keep_items,
    patiently,
    transition,
)
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Flushed

#: Seconds for which quarantined items are kept beyond the retention of ended runs, so that a long
#: run does not lose them.
KEPT_WHILE_LIVE = 90 * 86400.0

T = TypeVar("T")
Own = TypeVar("Own", ev.HandOver, ev.Wait, ev.Reclaim, ev.Finish, ev.End)


class Ticket:
    """One execution's right to a run. Writes raise ``StoreUnavailable`` when patience ends."""

    def __init__(self, runtime: Runtime, run: RunKey, record: Record, owner: str) -> None:
        self.runtime = runtime
        self.run = run
        self.record = record
        self.owner = owner
        #: How long writes wait for a store that is away; by default as long as the lease.
        self.patience: Patience = runtime.settings.lease_ttl
        #: Whether nobody has written the record since: an operator's words must not be lost.
        self._is_current = True
        #: Why the last write was refused.
        self.refused = "its checkpoint was refused"
        #: When the store last accepted a write, by a clock that counts while the host sleeps.
        self._accepted_at = uptime()
        #: A write of the record that vanished, whose answer has still to come.
        self._restore: Attempt | None = None

    @property
    def fence(self) -> int:
        return self.record.fence

    def stands(self) -> bool:
        """Whether the run is still this execution's, asked of the store once."""
        if self._restore is not None and self._write_back(0.0):
            return True
        found = self.runtime.store.load(self.run).record
        if found is None and self._write_back(0.0):
            return True
        if found is not None and found.fence == self.fence and found.state is State.RUNNING:
            return True
        self.refused = "another execution was admitted meanwhile, or the run has ended"
        return False

    def flush(self, checkpoint: str, steps: int) -> Flushed:
        """Save a checkpoint once; does not wait for a store that is away."""
        if self._restore is not None:
            self._write_back(0.0)
        answer = self._checkpoint(checkpoint, steps)
        if answer.gone and self._write_back(0.0):
            answer = self._checkpoint(checkpoint, steps)
        if answer.accepted:
            self._accepted_at = uptime()
            self._is_current &= answer.version == self.record.version + 1
            self.record = replace(
                self.record,
                checkpoint=checkpoint,
                steps=steps,
                version=answer.version,
                requested=answer.requested,
            )
        return answer

    def _checkpoint(self, checkpoint: str, steps: int) -> Flushed:
        return self.runtime.store.checkpoint(
            self.run, self.fence, checkpoint, steps, due_in=self.runtime.settings.lease_ttl
        )

    def save(self, checkpoint: str, steps: int) -> Flushed:
        """Save a checkpoint, waiting for a store that is away."""
        return self._patiently(lambda: self.flush(checkpoint, steps))

    def _patiently(self, call: Callable[[], T]) -> T:
        return patiently(call, self.patience, what=str(self.run))

    def quarantine(self, ordinal: int, entry: str) -> bool:
        """Keep an item that failed; returns whether the run is still owned here.

        Tried once; does not wait for a store that is away.
        """
        keep, store = KEPT_WHILE_LIVE + self.runtime.settings.run_retention, self.runtime.store
        if self._restore is not None:
            self._write_back(0.0)
        kept = store.quarantine(self.run, self.fence, ordinal, entry, keep=keep)
        if not kept and store.load(self.run).record is None and self._write_back(0.0):
            return store.quarantine(self.run, self.fence, ordinal, entry, keep=keep)
        return kept

    def begin_quarantined(self, steps: int) -> None:
        """Quarantined items after the last checkpoint run again: forget them, keep the others."""
        keep, store = KEPT_WHILE_LIVE + self.runtime.settings.run_retention, self.runtime.store
        self.forget_unsaved_quarantined(steps)
        self._patiently(lambda: store.expire_quarantined(self.run, keep=keep))

    def forget_unsaved_quarantined(self, steps: int) -> None:
        """Forget items that were quarantined after the last checkpoint: they run again."""
        store = self.runtime.store
        self._patiently(lambda: store.drop_quarantined_range(self.run, steps, fence=self.fence))

    def hand_over(
        self,
        checkpoint: str | None,
        steps: int,
        reason: str,
        *,
        successor: bool = True,
        stalls: int = 0,
        pauses: bool = False,
        took: float = 0.0,
        patience: Patience | None = None,
    ) -> Decision:
        """Give up the run; with verdict ``publish`` its successor has still to be published."""
        at = time.time()
        return self._apply(
            ev.HandOver(self.fence, checkpoint, steps, reason, successor, stalls, pauses, took, at),
            patience,
        )

    def wait(
        self,
        checkpoint: str | None,
        steps: int,
        reason: str,
        delay: float,
        took: float = 0.0,
        error: str = "",
    ) -> Decision:
        """Give up the run until a retry, ``delay`` seconds from now."""
        at = time.time()
        return self._apply(ev.Wait(self.fence, checkpoint, steps, reason, delay, took, at, error))

    def reclaim(self) -> Decision:
        """Take back a run whose successor the broker did not accept."""
        return self._apply(ev.Reclaim(self.fence, self.owner))

    def finish(
        self, checkpoint: str | None, steps: int, result: str, outcome: Outcome, error: str = ""
    ) -> Decision:
        """Save the result or final error, before Celery stores it."""
        return self._apply(ev.Finish(self.fence, checkpoint, steps, result, outcome, error))

    def end(
        self,
        outcome: Outcome,
        checkpoint: str | None = None,
        steps: int | None = None,
        *,
        items: bool = True,
        took: float = 0.0,
        error: str = "",
    ) -> Decision:
        """Close the run.

        Args:
            outcome: What became of it.
            checkpoint: The last one; by default the one that is saved.
            steps: How many items were done up to it.
            items: Whether it may have quarantined any. An earlier execution may have, before the
                task's option was taken away.
            took: Seconds that this execution has worked; 0 where nobody needs to know.
            error: What it fails with, as text; see :class:`.RunError`.
        """
        if self.record.options:
            end = (self.runtime.store, self.run, self.record, outcome, steps)
            self._patiently(partial(note_end, *end))
        may_have, at = items or self.record.resumptions > 0, time.time()
        decision = self._apply(ev.End(self.fence, outcome, checkpoint, steps, took, at, error))
        if may_have and decision.keep is not None:
            keep_items(self.runtime.store, self.run, decision.keep)
        return decision

    def _apply(self, event: Own, patience: Patience | None = None) -> Decision:
        patience = self.patience if patience is None else patience
        if self._restore is not None and self._write_back(patience):
            event = dataclasses.replace(event, fence=self.fence)
        done = self.transition(event, patience)
        if done.decision.verdict is Verdict.GONE and self._write_back(patience):
            done = self.transition(dataclasses.replace(event, fence=self.fence), patience)
        if done.decision.verdict is Verdict.GONE:  # deleted again
            done = Transition(refuse(done.decision.why), None)
        if done.decision.verdict is Verdict.REFUSED:
            self.refused = done.decision.why
        elif done.record is not None:
            self.known_as(done.record)
        return done.decision

    def known_as(self, record: Record) -> None:
        """The store has just said so."""
        self.record, self._is_current, self._accepted_at = record, True, uptime()

    def transition(self, event: ev.Event, patience: Patience) -> Transition:
        """Apply an event of the owner, and leave the ticket as it is."""
        return transition(
            self.runtime.store,
            self.run,
            event,
            self.runtime.policy,
            known=self.record,
            guess=self._is_current,
            patience=patience,
            observers=self.runtime.observers,
            who=self.owner,
        )

    def _write_back(self, patience: Patience) -> bool:
        """Write back a record that vanished; returns whether the run is this execution's again.

        Not after an absence as long as the store keeps an ended run: the run may have ended.
        """
        of, away = self.runtime, uptime() - self._accepted_at
        if away > of.settings.lease_ttl + of.settings.run_retention:
            self.refused = f"the store has no record of it, and was not reached for {away:.0f} s"
            return False
        if was_deleted(of, self.run, patience):
            self.refused = "an operator has deleted the run"
            return False
        if self._restore is None:
            event = ev.Restore(self.fence, self.record, fresh_fence(time.time()))
            self._restore = Attempt(
                of.store, self.run, event, of.policy, observers=of.observers, who=self.owner
            )
        restore = self._restore
        done = patiently(lambda: restore(None, True), patience, what=str(self.run))
        self._restore = None
        if done.record is None or done.decision.verdict is not Verdict.DONE:
            self.refused = done.decision.why
            return False
        self.known_as(done.record)
        warn_written_back(self.run, self.record)
        return True

    def check_successor(self) -> None:
        """Raise :exc:`.CorruptRecord` if no message can be made of the record."""
        unpack(self.record.envelope).continued(self.record.generation, None)

    def publish(self) -> None:
        """Publish the successor of an interrupted run.

        Raises:
            kombu.exceptions.OperationalError: the broker refused every connection.
            PublishUncertain: the broker never confirmed; the rescue publishes again after a lease.
        """
        publish_record(self.runtime, self.run, self.record, who=self.owner)

    def may_leave(self, checkpoint: str) -> bool:
        """Whether the run can continue by a message alone while the store is away.

        Asks the broker, which takes at most as long as a call to the store.
        """
        # A record that is being written back has a fence that nobody knows here.
        if self._restore is not None or len(checkpoint) > HEADER_LIMIT:
            return False
        try:
            self.check_successor()
        except CorruptRecord:
            return False
        return broker_answers(self.runtime)

    def leave_without_store(self, checkpoint: str, steps: int, reason: str) -> None:
        """Publish the successor, whose admission stores this checkpoint.

        The execution must not continue afterwards.

        Raises:
            kombu.exceptions.OperationalError, Unroutable: nothing was sent.
            PublishUncertain: nobody knows whether the broker has it.
        """
        record = replace(self.record, checkpoint=checkpoint, steps=steps, reason=reason)
        publish_without_store(self.runtime, self.run, record, self.fence)
