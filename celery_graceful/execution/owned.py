"""A run that this worker owns: its execution, the right to write it, and what watches it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from celery_graceful import signals
from celery_graceful._celery.pool.children import TERM_SIGNAL
from celery_graceful._celery.task.delivery import ExecutionLeft
from celery_graceful.execution import results
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal import ItemWork
from celery_graceful.execution.journal.atomic_work import AtomicWork, RunRow
from celery_graceful.execution.journal.child_tasks import Children
from celery_graceful.execution.journal.null import PlainWork
from celery_graceful.execution.journal.store_journal import StoreJournal
from celery_graceful.execution.loop import Interrupted, ticker
from celery_graceful.execution.loop.pacing import Pacing
from celery_graceful.execution.results.progress import ProgressReport
from celery_graceful.execution.stopping import limits
from celery_graceful.execution.stopping.conditions import StopConditions
from celery_graceful.model.run.cursor import Checkpoint
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run_options import read_adjustments, readable_options
from celery_graceful.runs.ticket import Ticket
from celery_graceful.stop.flag import StopFlag
from celery_graceful.text.counting import counted

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")

#: A pool child that gets a termination signal may take this long to finish its item, in seconds.
LAST_ITEM = 1.0
#: Where the run of a delivery is kept on its request, for what Celery calls after ``run``.
_OWNED = "graceful_run"


class OwnedRun:
    """One delivery's hold on a run.

    Args:
        kwargs: its keyword arguments, without the cursor.
        checkpoint: where the execution begins.
        leave: called with this run and the reason when a stop has ended the loop.
    """

    def __init__(
        self,
        task: RunTask,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checkpoint: Checkpoint,
        ticket: Ticket,
        flag: StopFlag,
        request: Any,
        leave: Callable[[OwnedRun, str], object],
    ) -> None:
        self.task = task
        self.ticket = ticket
        self.key = ticket.run
        self.flag = flag
        self.request = request
        settings, record = ticket.runtime.settings, ticket.record
        ticket.patience = _patience(flag, settings.lease_ttl)
        execution = Execution(task, args, kwargs, checkpoint, Children(request, task.app))
        execution.resumptions = record.resumptions
        # An execution that died before its first checkpoint has left nothing to resume.
        execution.resumed = record.checkpoint is not None
        execution.started_at = record.started_at
        options = limits.execution_options(task, settings, request)
        adjusted = read_adjustments(record.adjusted)
        self._interval = options.checkpoint_interval
        interval = adjusted.checkpoint_interval or self._interval
        self.execution = execution
        self.report = ProgressReport(
            task, request, settings.progress, every=interval / 2, valid_for=settings.lease_ttl
        )
        self.pacing = Pacing(execution, flag, options, ticket.run)
        self.stops = StopConditions(execution, ticket, flag, self.pacing, request)
        self.pacing.adjusted_batch = adjusted.batch_size
        self.journal = StoreJournal(
            execution, ticket, self.stops, self.report, interval, self._adjust
        )
        execution.attach(self.journal, self._work(), partial(leave, self))
        if record.options:
            execution.ask(readable_options(record.options), lambda: ticket.record.paused_at)
        self._brief_until = min(self.journal.due, self.journal.outage.lease_until)
        self._ended_by_force = self._warned_of_pacing = False
        #: Whether items may still be processed here.
        self.open = True
        #: Whether the execution no longer owns its run: it was interrupted, or lost.
        self.left = False
        #: Whether it is about to: perhaps the store's answer did not arrive.
        self.leaving = False
        #: A retry that was asked for inside the loop: its options, and what publishes it.
        self.retry_options: dict[str, Any] | None = None
        self.send_retry: Callable[..., Any] | None = None
        #: The run was done already; this delivery only repeats its outcome.
        self.returns_saved = False
        #: What the run came to, once it is known.
        self.outcome: Any = None
        self.error: BaseException | None = None
        #: The last error, also of what is retried, as the run's record keeps it.
        self.last_error = ""
        setattr(request, _OWNED, self)

    def _adjust(self, text: str) -> None:
        """An operator has adjusted the run while it is under way."""
        adjusted = read_adjustments(text)
        interval = adjusted.checkpoint_interval or self._interval
        self.journal.interval = interval
        self.report.every = interval / 2
        self.pacing.adjusted_batch = adjusted.batch_size
        logger.info("%s was adjusted: %s", self.key, text or "as its task says")

    def _work(self) -> ItemWork:
        atomic = self.task.atomic
        if atomic is None:
            return PlainWork(self.task.name)
        row = RunRow(self.execution, self.ticket, self.stops, lambda: self.pacing.batch_time)
        return AtomicWork(self.execution, atomic, row)

    @property
    def brief(self) -> bool:
        """Whether the execution did everything within one checkpoint interval.

        Then its outcome need not be saved before Celery stores it: should the process die in
        between, what runs again is no more than what a crash may repeat anyhow.
        """
        done_at_once = not (self.execution.resumed or self.leaving)
        return done_at_once and time.monotonic() < self._brief_until

    # -- begin and end ----------------------------------------------------------------------

    def enter(self) -> None:
        """Begin: watch for stops, and announce it."""
        execution = self.execution
        try:
            execution.work.enter()
        except ExecutionLeft:
            self.left = True
            raise
        if execution.not_migrated and execution.saved is None:
            logger.warning("%s is paused: %s", self.key, execution.not_migrated)
            raise Interrupted(StopReason.PAUSED)
        self.pacing.enter()
        ticker.enlist(self)
        if getattr(self.task, "reports_started", False):
            self._report_started()
        signal = signals.run_resumed if execution.resumed else signals.run_started
        signals.emit(signal, self.task, **execution.details)
        if execution.resumed:
            logger.info(
                "%s resumes after cursor %.200r (%s done, execution %d)",
                self.key,
                execution.cursor,
                counted(execution.steps, "item"),
                execution.resumptions + 1,
            )

    def _report_started(self) -> None:
        try:
            results.store_started(self.task, self.request, resumed=self.execution.resumed)
        except Exception as exc:  # the run itself needs no result backend yet
            logger.warning("%s: STARTED could not be written: %r", self.key, exc)

    def close(self) -> None:
        """No more items are processed here, and nothing watches them."""
        self.open = False
        ticker.leave(self)
        self.execution.work.close()

    # -- the ticker thread, and signal handlers ---------------------------------------------

    def tick(self, now: float) -> None:
        """Blow the fuse when something is due. Runs in the ticker's thread."""
        execution = self.execution
        if now >= execution.work.commit_due:
            execution.fuse.clear()
        try:
            self.pacing.tick(now)
        except Exception:  # without it the execution is stopped and saved as ever
            if not self._warned_of_pacing:
                self._warned_of_pacing = True
                logger.exception("%s: how long its items take is not known", self.key)
        if now >= self.journal.contact_due or self.stops.may_hold(now):
            execution.fuse.clear()
        if self._overdue(now) and not self._ended_by_force:
            self._ended_by_force = True
            os.kill(os.getpid(), TERM_SIGNAL)

    def tick_failed(self) -> None:
        """The loop checks at each tick, and finds a stop or a checkpoint that is due."""
        self.execution.fuse.clear()

    def on_term_signal(self) -> bool:
        """A termination signal reached this process; whether the execution deals with it."""
        now = time.monotonic()
        if not self.open or self._overdue(now):
            return False
        if self.stops.term_signal_at is None:
            self.stops.term_signal_at = now
        self.execution.fuse.clear()
        return True

    def _overdue(self, now: float) -> bool:
        """Whether the item under way has outlived the time it had to finish.

        During a warm stop the worker waits for its children, so the signal was meant for the whole
        process group and the item may take as long as it does.
        """
        signal_at = self.stops.term_signal_at
        if self.left or signal_at is None or now < signal_at + LAST_ITEM:
            return False
        stop = self.flag.stop
        return stop is None or stop.cold


def owned_run(request: Any) -> OwnedRun | None:
    """The run of the delivery behind ``request``, if it was admitted and begun."""
    return getattr(request, _OWNED, None)


def _patience(flag: StopFlag, lease: float) -> Callable[[float], bool]:
    """As with checkpoints: only who has to leave does so without an answer of the store.

    Else an outcome that Celery stores, and the store does not know, would be run again. Who
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
