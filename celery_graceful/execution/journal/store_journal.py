"""An execution whose run is kept in the store: checkpoints, items in doubt, quarantined items."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from celery_graceful import signals
from celery_graceful.errors import CorruptRecord, StoreError
from celery_graceful.execution.execution import Execution, Interrupted
from celery_graceful.execution.journal.child_tasks import Children
from celery_graceful.execution.quarantine import Quarantine
from celery_graceful.execution.results.progress import ProgressReport
from celery_graceful.execution.stopping import limits
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Request
from celery_graceful.runs.quarantined_items import ENVELOPE, envelope_entry
from celery_graceful.runs.ticket import Ticket
from celery_graceful.text.counting import counted

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two attempts to save a checkpoint while the store is away.
STORE_RETRY = 0.5
#: Seconds between two attempts to leave the slot to others while broker and store are away.
LEAVE_AGAIN = 5.0
#: Without ``graceful_store_patience``: flush intervals in which items go on without the store.
INTERVALS = 2


class SavingExecution(Execution):
    """An execution that writes to the store, under its fence; it knows no stop conditions."""

    def __init__(
        self,
        task: RunTask,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
        ticket: Ticket,
        request: Any,
    ) -> None:
        self.children = Children(request, task.app)
        super().__init__(task, args, kwargs, checkpoint)
        self.ticket = ticket
        self.request = request
        self.options = limits.execution_options(task, ticket.runtime.settings, self.request)
        self.report = ProgressReport(
            task,
            self.request,
            ticket.runtime.settings.progress,
            every=self.options.checkpoint_interval / 2,
            valid_for=ticket.runtime.settings.lease_ttl,
        )
        self._warned_still = False
        self._outage_since: float | None = None
        #: While the store is away: when the execution leaves its slot to others.
        self._leave_at = math.inf
        #: When the broker may be asked again whether it takes the run's message.
        self._ask_broker_at = 0.0
        self.may_leave = ticket.runtime.settings.without_store == "run"
        patience = ticket.runtime.settings.store_patience
        #: How long items go on while no checkpoint can be saved, in seconds.
        self._store_patience = INTERVALS * self.options.checkpoint_interval
        if patience is not None:
            self._store_patience = patience
        now = time.monotonic()
        self._lease_until = now + ticket.runtime.settings.lease_ttl
        self._flush_due = now + self.options.checkpoint_interval

    @property
    def id(self) -> str:
        return self.ticket.run.id

    @property
    def details(self) -> dict[str, Any]:
        """What signals tell of an execution."""
        return {"task_id": self.id, "cursor": self.cursor, "steps": self.steps}

    def _last_saved(self) -> Checkpoint:
        saved = self.ticket.record.checkpoint
        return super()._last_saved() if saved is None else decode(saved)

    def stop_reason(self, now: float) -> str | None:
        """Why the execution has to leave at ``now`` (monotonic seconds), if it has to."""
        raise NotImplementedError

    # -- checkpoints ------------------------------------------------------------------------

    def flush(self, now: float, *, needed: bool = False) -> None:
        """Save the checkpoint; a store that is away is tried again while items go on.

        Args:
            now: monotonic seconds.
            needed: no item goes on before it is saved.
        """
        text = encode(self.checkpoint)
        self._warn_of_still_cursor(text)
        # Not due while it is under way: the ticker would blow the fuse again each time a store
        # takes longer than the interval, and no item would ever be taken.
        self._flush_due = math.inf
        while True:
            try:
                answer = self.ticket.flush(text, self.steps)
                break
            except CorruptRecord:
                raise
            except StoreError as exc:  # it does not answer, or somebody has to fix it
                now = time.monotonic()  # a silent store has cost a whole time-out
                if now < self._outage(now, exc) and not needed:
                    return
            # What is done now would be repeated after a crash; once the lease is over, another
            # worker may have the run. So no item goes on.
            self._wait_for_store()
            now = time.monotonic()
        if not answer.accepted:
            raise Interrupted(StopReason.LEASE_LOST)
        if self._outage_since is not None:
            logger.warning(
                "%s: the store is back after %.1f s", self.ticket.run, now - self._outage_since
            )
            self._outage_since, self._leave_at = None, math.inf
        self._lease_until = now + self.ticket.runtime.settings.lease_ttl
        self._flush_due = time.monotonic() + self.options.checkpoint_interval
        signals.emit(signals.checkpoint_saved, self.task, **self.details)
        self.report.send(self.progress)
        if answer.requested is not None:
            raise Interrupted(REASON_OF[answer.requested])

    def _wait_for_store(self) -> None:
        """Return when the store is to be tried again.

        Raises:
            Interrupted: the execution has to leave, or leaves its slot to others.
        """
        time.sleep(STORE_RETRY)
        now = time.monotonic()
        reason = self.stop_reason(now)
        # The broker is asked first: while it is away as well, the generator stays as it is.
        if reason is None and now >= self._leave_at and self._can_leave():
            reason = StopReason.STORE_UNAVAILABLE
        if reason is not None:
            raise Interrupted(reason)

    def gives_up_store(self, waited: float) -> bool:
        """Whether an execution that has to leave, and has waited for the store, does so without."""
        away = self._outage_since is not None
        return (away or waited >= self._store_patience) and self._can_leave()

    def _can_leave(self) -> bool:
        """Whether the run's message can carry it on, and the broker would take it now."""
        if not self.may_leave or time.monotonic() < self._ask_broker_at:
            return False
        can = self.ticket.may_leave(encode(self.checkpoint))
        self._ask_broker_at = time.monotonic() + LEAVE_AGAIN
        return can

    def _outage(self, now: float, exc: StoreError) -> float:
        """The store took no checkpoint; returns until when items go on all the same."""
        since = now if self._outage_since is None else self._outage_since
        until = min(since + self._store_patience, self._lease_until)
        self._flush_due = min(now + STORE_RETRY, max(now, until))
        if self._outage_since is None:
            self._outage_since = now
            if self.may_leave:
                self._leave_at = until + STORE_RETRY  # once more after patience is over
            logger.warning(
                "%s: the checkpoint at cursor %.200r could not be saved; items continue for %.1f s"
                " (graceful_store_patience), then the run waits for the store: %s",
                self.ticket.run,
                self.cursor,
                max(0.0, until - now),
                exc,
            )
        return until

    def _warn_of_still_cursor(self, text: str) -> None:
        still = self.steps > self.ticket.record.steps and cursor_part(text) == cursor_part(
            self.ticket.record.checkpoint
        )
        if still and not self._warned_still:
            self._warned_still = True
            logger.warning(
                "%s: the cursor %.200r has not moved over %s, which would run again if the "
                "task were interrupted here. Yield a cursor that names the last item done.",
                self.ticket.run,
                self.cursor,
                counted(self.steps - self.ticket.record.steps, "item"),
            )

    # -- single items -----------------------------------------------------------------------

    def quarantine(self) -> Quarantine | None:
        found = super().quarantine()
        if found is not None:
            self.ticket.begin_quarantined(self.steps)
        return found

    def quarantine_item(self, ordinal: int, entry: str) -> None:
        """Keep an item that failed in the store, and the message by which it can be replayed."""
        own = envelope_entry(self.ticket.record.envelope)
        while True:
            try:
                kept = self.ticket.quarantine(ENVELOPE, own) and self.ticket.quarantine(
                    ordinal, entry
                )
                break
            except CorruptRecord:
                raise
            except StoreError as exc:  # as with a checkpoint: somebody has to fix it
                self._outage(time.monotonic(), exc)
            self._wait_for_store()
        if not kept:
            raise Interrupted(StopReason.LEASE_LOST)

    def tell_quarantined(self, cursor: Any, exc: Exception) -> None:
        super().tell_quarantined(cursor, exc)
        signals.emit(
            signals.item_put_aside,
            self.task,
            **{**self.details, "cursor": cursor},
            exception=exc,
            errors=self.errors,
        )

    def about_to_run(self, cursor: Any) -> None:
        """Record that the item of ``cursor`` begins; returns when the store has it."""
        self.doubt.begins(cursor)
        try:
            self.flush(time.monotonic(), needed=True)
        except BaseException:
            self.doubt.not_begun()
            raise


REASON_OF = {Request.CANCEL: StopReason.CANCELLED, Request.PAUSE: StopReason.PAUSED}


def cursor_part(text: str | None) -> str:
    """The part of an encoded checkpoint that tells where it stands."""
    if text is None:
        return '{"cursor":null'
    return text.split(',"carry":', 1)[0]
