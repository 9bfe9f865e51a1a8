"""An execution in a worker: it sees stops, requests and limits, and leaves between two items."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery_graceful import signals
from celery_graceful._celery.message.headers import QUEUE
from celery_graceful._celery.pool.children import TERM_SIGNAL
from celery_graceful.execution import results
from celery_graceful.execution.execution import Interrupted
from celery_graceful.execution.journal.store_journal import REASON_OF, SavingExecution
from celery_graceful.execution.loop import ticker
from celery_graceful.execution.loop.pacing import Pacing
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.runs.ticket import Ticket
from celery_graceful.stop.flag import StopFlag
from celery_graceful.stop.hold import has_to_stop, queue_of_delivery
from celery_graceful.text.counting import counted

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")

#: Seconds of work between two attempts to hand over while the broker is away.
HOLD_ON = 1.0
#: A pool child that is told to die may take this long to finish its item, in seconds.
LAST_ITEM = 1.0


class OwnedExecution(SavingExecution):
    """An execution that a worker carries: it can be stopped, and hands its run over."""

    #: After 1, 17, 273 … items: looks are what a short run pays for.
    growth = 16

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
        super().__init__(task, args, kwargs, checkpoint, ticket, request)
        self.flag = flag
        ticket.patience = _patience(flag, ticket.runtime.settings.lease_ttl)
        self.resumptions = ticket.record.resumptions
        # An execution that died before its first checkpoint has left nothing to resume.
        self.resumed = ticket.record.checkpoint is not None
        self.started_at = ticket.record.started_at
        self.began_at = (checkpoint.steps, checkpoint.cursor)
        #: The options of a retry that was asked for inside the loop.
        self.retry_options: dict[str, Any] | None = None
        #: The run was done already; this delivery only repeats its outcome.
        self.returns_saved = False
        #: What the run came to, once it is known.
        self.outcome: Any = None
        self.error: BaseException | None = None
        self.send_retry: Callable[..., Any] | None = None
        self.open = True
        #: Whether items may be processed here; an atomic execution has to claim its run first.
        self.began = True
        #: Whether the execution has let go of its run already, by handing over or giving way.
        self.left = False
        #: Whether it is about to: what the store answers was perhaps not heard.
        self.leaving = False
        self._told_to_die_at: float | None = None
        self._ended_by_force = False
        self._hold_on_until = 0.0
        self._held_number = b""
        self._told_of_pacing = False
        #: Whether items went by since the last look for open transactions.
        self._passed = False
        now = time.monotonic()
        self._brief_until = min(self._flush_due, self._lease_until)
        self.pacing = Pacing(self, flag)
        # After a crash each item is saved, until the execution has lived longer than its
        # predecessor's unsaved items can have taken: else an item that kills would never be told
        # from progress.
        careful = ticket.record.crashes > 0
        self._careful_until = now + 2 * self.options.checkpoint_interval if careful else 0.0

    @property
    def brief(self) -> bool:
        """Whether the execution did everything within one flush interval.

        Then its outcome need not be saved before Celery stores it: should the process die in
        between, what runs again is no more than what a crash may repeat anyhow.
        """
        return not (self.resumed or self.leaving) and time.monotonic() < self._brief_until

    # -- begin and end ----------------------------------------------------------------------

    def enter(self) -> None:
        """Begin: watch for stops, tell whoever wants to know."""
        self.pacing.enter()
        ticker.enlist(self)
        if getattr(self.task, "reports_started", False):
            self._report_started()
        signal = signals.run_resumed if self.resumed else signals.run_started
        signals.emit(signal, self.task, **self.details)
        if self.resumed:
            logger.info(
                "%s resumes after cursor %.200r (%s done, execution %d)",
                self.ticket.run,
                self.cursor,
                counted(self.steps, "item"),
                self.resumptions + 1,
            )

    def _report_started(self) -> None:
        try:
            results.store_started(self.task, self.request, resumed=self.resumed)
        except Exception as exc:  # the run itself needs no result backend yet
            logger.warning("%s: STARTED could not be written: %r", self.ticket.run, exc)

    def close(self) -> None:
        """No longer watched by the ticker."""
        self.open = False
        ticker.leave(self)

    # -- the ticker thread ------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Blow the fuse when something is due. Runs in the ticker's thread."""
        try:
            self.pacing.tick(now)
        except Exception:
            self._tell_of_pacing()
        due = now >= self._flush_due or self.pacing.may_overrun(now)
        if due or self.flag.raised or self._may_be_held():
            self.fuse.clear()
        if self._overdue(now) and not self._ended_by_force:
            self._ended_by_force = True
            os.kill(os.getpid(), TERM_SIGNAL)

    def tick_failed(self) -> None:
        """The loop looks at each tick, and finds a stop or a checkpoint that is due."""
        self.fuse.clear()

    def told_to_die(self) -> bool:
        """A termination signal reached this process; whether the execution deals with it."""
        now = time.monotonic()
        if not self.open or self._overdue(now):
            return False
        if self._told_to_die_at is None:
            self._told_to_die_at = now
        self.fuse.clear()
        return True

    def _tell_of_pacing(self) -> None:
        """Without it the execution is stopped and saved as ever."""
        if not self._told_of_pacing:
            self._told_of_pacing = True
            logger.exception("%s: how long its items take is not known", self.ticket.run)

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
        if done or self._passed:
            self._passed = False
            self.check_committed()
            if not self._checked:
                self._checked = True
                encode(self.checkpoint)
        now = self._waited()
        reason = self.stop_reason(now)
        if reason is not None:
            if reason is StopReason.MAX_EXECUTION_TIME:
                self.pacing.left_early(now, self.steps - self.began_at[0])
            raise Interrupted(reason)
        if now >= self._flush_due or now < self._careful_until:
            self.flush(now)
        if now < self._careful_until or self.task.track_in_doubt:
            self.fuse[:] = [0]

    def passed(self, cursor: Any, done: int) -> None:
        """Nothing is due: the ticker, or a signal, would have blown the fuse."""
        self._passed = True
        self.settle(cursor, done)

    def stop_reason(self, now: float) -> str | None:
        """Why the execution has to leave, if it has to."""
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
        if self._is_held():
            return StopReason.MAINTENANCE
        # An item that takes longer by itself would never be tried.
        if self.steps > self.began_at[0] and self.pacing.overruns(now):
            return StopReason.MAX_EXECUTION_TIME
        return None

    def _waited(self) -> float:
        """The time, after a pause if no item should begin and the broker takes no successor yet."""
        now = time.monotonic()
        if now < self._hold_on_until and self.pacing.would_be_cut(now):
            time.sleep(self._hold_on_until - now)
            now = time.monotonic()
        return now

    def _may_be_held(self) -> bool:
        mode_snapshot = self.flag.mode_snapshot
        return bool(mode_snapshot) and mode_snapshot.number != self._held_number

    def _is_held(self) -> bool:
        """Whether the maintenance mode holds this run; worked out once for each change of it."""
        if not self._may_be_held():
            return False
        number = self.flag.mode_snapshot.number
        if has_to_stop(self.flag, self.task.name, self._queue()):
            return True
        self._held_number = number
        return False

    def _queue(self) -> str:
        """The run's own queue, even when its message has come ahead of others by another."""
        if (known := (self.request.properties or {}).get(QUEUE)) is not None:
            return str(known)
        return queue_of_delivery(self.task.app, self.request.delivery_info)

    def hold_on(self) -> None:
        """The broker takes no successor: process items for a while before trying again."""
        self._hold_on_until = time.monotonic() + HOLD_ON


def _patience(flag: StopFlag, lease: float) -> Callable[[float], bool]:
    """As with checkpoints: only who has to leave does so without an answer of the store.

    Else an outcome that Celery stores, and the store has never heard of, would be run again. Who
    waits already when the stop comes has a whole lease from then on.
    """
    pressed_at: float | None = None

    def enough(waited: float) -> bool:
        nonlocal pressed_at
        if not flag.raised:
            return False
        if pressed_at is None:
            pressed_at = time.monotonic()
        return waited >= lease and time.monotonic() >= pressed_at + lease

    return enough
