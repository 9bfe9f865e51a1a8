"""A leg in a worker: it saves checkpoints, sees stops, and hands its run over."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery_graceful import signals
from celery_graceful._celery.children import TERM_SIGNAL
from celery_graceful.errors import CorruptRecord, StoreError
from celery_graceful.model.cursor import Checkpoint, encode
from celery_graceful.model.reasons import StopReason
from celery_graceful.model.record import Request
from celery_graceful.runs.aside import ENVELOPE, envelope_entry
from celery_graceful.runs.ticket import Ticket
from celery_graceful.stop.flag import StopFlag
from celery_graceful.tasks import limits, results, ticker
from celery_graceful.tasks.leg import Interrupted, Leg
from celery_graceful.tasks.progress import ProgressReport
from celery_graceful.tasks.quarantine import Quarantine

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["CarriedLeg"]

logger = logging.getLogger("celery_graceful.runs")

#: Seconds between two attempts to save a checkpoint while the store is away.
STORE_RETRY = 0.5
#: Seconds of work between two attempts to hand over while the broker is away.
HOLD_ON = 1.0
#: A pool child that is told to die may take this long to finish its item, in seconds.
LAST_ITEM = 1.0


class CarriedLeg(Leg):
    """A leg whose run is kept in the store."""

    def __init__(
        self,
        task: RunTask,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
        ticket: Ticket,
        flag: StopFlag,
        request: Any,
    ) -> None:
        super().__init__(task, args, kwargs, checkpoint)
        self.ticket = ticket
        self.flag = flag
        self.request = request
        self.resumptions = ticket.record.resumptions
        # A leg that died before its first checkpoint has left nothing to resume.
        self.resumed = ticket.record.checkpoint is not None
        self.started_at = ticket.record.started_at
        self.options = limits.leg_options(task, ticket.runtime.settings, self.request)
        self.began_at = (checkpoint.steps, checkpoint.cursor)
        self.report = ProgressReport(
            task,
            self.request,
            ticket.runtime.settings.progress,
            every=self.options.flush_interval / 2,
            valid_for=ticket.runtime.settings.lease_ttl,
        )
        #: The options of a retry that was asked for inside the loop.
        self.retry_options: dict[str, Any] | None = None
        #: The run was done already; this delivery only repeats its outcome.
        self.returns_saved = False
        #: What the run came to, once it is known.
        self.outcome: Any = None
        self.error: BaseException | None = None
        self.send_retry: Callable[..., Any] | None = None
        self.open = True
        #: Whether the leg has let go of its run already, by handing over or giving way.
        self.left = False
        self._warned_still = False
        self._outage_since: float | None = None
        self._told_to_die_at: float | None = None
        self._ended_by_force = False
        self._hold_on_until = 0.0
        now = time.monotonic()
        self._lease_until = now + ticket.runtime.settings.lease_ttl
        self._flush_due = now + self.options.flush_interval
        self._brief_until = min(self._flush_due, self._lease_until)
        self._leave_at = now + self.options.max_leg_runtime if self.options.max_leg_runtime else 0.0
        # After a crash each item is saved, until the leg has lived longer than its predecessor's
        # unsaved items can have taken: else an item that kills would never be told from progress.
        careful = ticket.record.crashes > 0
        self._careful_until = now + 2 * self.options.flush_interval if careful else 0.0

    @property
    def id(self) -> str:
        return self.ticket.run.id

    @property
    def brief(self) -> bool:
        """Whether the leg did everything within one flush interval.

        Then its outcome need not be saved before Celery stores it: should the process die in
        between, what runs again is no more than what a crash may repeat anyhow.
        """
        return not self.resumed and time.monotonic() < self._brief_until

    @property
    def details(self) -> dict[str, Any]:
        """What signals tell of a leg."""
        return {"task_id": self.id, "cursor": self.cursor, "steps": self.steps}

    # -- begin and end ----------------------------------------------------------------------

    def enter(self) -> None:
        """Begin: watch for stops, tell whoever wants to know."""
        ticker.enlist(self)
        if getattr(self.task, "reports_started", False):
            self._report_started()
        signal = signals.run_resumed if self.resumed else signals.run_started
        signals.emit(signal, self.task, **self.details)
        if self.resumed:
            logger.info(
                "%s resumes after cursor %.200r (%d items done, leg %d)",
                self.ticket.run,
                self.cursor,
                self.steps,
                self.resumptions + 1,
            )

    def _report_started(self) -> None:
        try:
            results.store_started(self.task, self.request)
        except Exception as exc:  # the run itself needs no result backend yet
            logger.warning("%s: STARTED could not be written: %r", self.ticket.run, exc)

    def close(self) -> None:
        """No longer watched by the ticker."""
        self.open = False
        ticker.leave(self)

    # -- the ticker thread ------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Blow the fuse when something is due. Runs in the ticker's thread."""
        if self.flag.raised or now >= self._flush_due or 0 < self._leave_at <= now:
            self.fuse.clear()
        if self._overdue(now) and not self._ended_by_force:
            self._ended_by_force = True
            os.kill(os.getpid(), TERM_SIGNAL)

    def told_to_die(self) -> bool:
        """A termination signal reached this process; returns whether the leg deals with it."""
        now = time.monotonic()
        if not self.open or self._overdue(now):
            return False
        if self._told_to_die_at is None:
            self._told_to_die_at = now
        self.fuse.clear()
        return True

    def _overdue(self, now: float) -> bool:
        """Whether the item under way has outlived the time it had to finish.

        During a warm stop the worker waits for its children, so the signal was meant for the whole
        process group and the item may take as long as it does.
        """
        if self.left or self._told_to_die_at is None or now < self._told_to_die_at + LAST_ITEM:
            return False
        stop = self.flag.stop
        return stop is None or stop.cold

    # -- between two items ------------------------------------------------------------------

    def look(self, cursor: Any, done: int) -> None:
        self.settle(cursor, done)
        if done and not self._checked:
            self._checked = True
            encode(self.checkpoint)
        now = time.monotonic()
        reason = self.stop_reason(now)
        if reason is not None:
            raise Interrupted(reason)
        if now >= self._flush_due or now < self._careful_until:
            self.flush(now)
        if now < self._careful_until or self.task.track_in_doubt:
            self.fuse[:] = [0]

    def quarantine(self) -> Quarantine | None:
        found = super().quarantine()
        if found is not None and self.resumed:
            self.ticket.forget_unsaved_aside(self.steps)
        return found

    def keep_aside(self, ordinal: int, entry: str) -> None:
        """Keep an item that failed in the store, and the message by which it can be replayed."""
        kept = self.ticket.put_aside(ENVELOPE, envelope_entry(self.ticket.record.envelope))
        if not kept or not self.ticket.put_aside(ordinal, entry):
            raise Interrupted(StopReason.LEASE_LOST)

    def tell_put_aside(self, cursor: Any, exc: Exception) -> None:
        super().tell_put_aside(cursor, exc)
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

    def stop_reason(self, now: float) -> str | None:
        """Why the leg has to leave, if it has to."""
        requested = self.ticket.record.requested
        if requested is not None:
            return REASON_OF[requested]
        if now < self._hold_on_until:
            return None
        stop = self.flag.stop
        if stop is not None:
            return stop.reason
        if self._told_to_die_at is not None:
            return StopReason.SHUTDOWN
        if 0 < self._leave_at <= now:
            return StopReason.MAX_LEG_RUNTIME
        return None

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
            except StoreError as exc:  # it does not answer, or somebody has to mend it
                now = time.monotonic()  # a silent store has cost a whole time-out
                self._outage(now, exc)
                if now < self._lease_until and not needed:
                    return
            # The lease may be over: another worker may have the run, so no item goes on.
            time.sleep(STORE_RETRY)
            now = time.monotonic()
            reason = self.stop_reason(now)
            if reason is not None:
                raise Interrupted(reason)
        if not answer.accepted:
            raise Interrupted(StopReason.LEASE_LOST)
        if self._outage_since is not None:
            logger.warning(
                "%s: the store is back after %.1f s", self.ticket.run, now - self._outage_since
            )
            self._outage_since = None
        self._lease_until = now + self.ticket.runtime.settings.lease_ttl
        self._flush_due = time.monotonic() + self.options.flush_interval
        signals.emit(signals.checkpoint_saved, self.task, **self.details)
        self.report.send(self.progress)
        if answer.requested is not None:
            raise Interrupted(REASON_OF[answer.requested])

    def _outage(self, now: float, exc: StoreError) -> None:
        self._flush_due = now + STORE_RETRY
        if self._outage_since is None:
            self._outage_since = now
            logger.warning(
                "%s: the checkpoint at cursor %.200r could not be saved; working on until the "
                "lease ends in %.0f s: %s",
                self.ticket.run,
                self.cursor,
                self._lease_until - now,
                exc,
            )

    def _warn_of_still_cursor(self, text: str) -> None:
        still = self.steps > self.ticket.record.steps and cursor_part(text) == cursor_part(
            self.ticket.record.checkpoint
        )
        if still and not self._warned_still:
            self._warned_still = True
            logger.warning(
                "%s: the cursor %.200r has not moved over %d items; they will run again if the "
                "task is interrupted here. Yield a cursor that names the last item done.",
                self.ticket.run,
                self.cursor,
                self.steps - self.ticket.record.steps,
            )

    def waited_enough(self, waited: float) -> bool:
        """Whether to ask no more whether a store that was away takes the run's outcome.

        As with a checkpoint: only who has to leave does so without an answer.
        """
        if waited < self.ticket.patience:
            return False
        return self.flag.raised or self._told_to_die_at is not None

    def hold_on(self) -> None:
        """The broker takes no successor: process items for a while before trying again."""
        self._hold_on_until = time.monotonic() + HOLD_ON


REASON_OF = {Request.CANCEL: StopReason.CANCELLED, Request.PAUSE: StopReason.PAUSED}


def cursor_part(text: str | None) -> str:
    """The part of an encoded checkpoint that tells where it stands."""
    if text is None:
        return '{"cursor":null'
    return text.split(',"carry":', 1)[0]
