"""The journal of a run that is kept in the store, written under the execution's fence."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace

from celery_graceful import signals
from celery_graceful.errors import CorruptRecord, StoreError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal import cursor_part
from celery_graceful.execution.journal.store_outage import STORE_RETRY, StoreOutage
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.loop.ticker import TICK
from celery_graceful.execution.results.progress import ProgressReport
from celery_graceful.execution.stopping.conditions import REASON_OF, StopConditions
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Request
from celery_graceful.runs.operating import operator_requests
from celery_graceful.runs.quarantined_items import ENVELOPE, envelope_entry
from celery_graceful.runs.ticket import Ticket
from celery_graceful.text.counting import counted

#: Seconds after which another moment is remembered: what is measured is 30 to 60 seconds long.
EACH = 30.0
logger = logging.getLogger("celery_graceful.runs")
#: Seconds within which an execution sees what operators want, unless an item takes longer.
HEARD_WITHIN = 1.0


class LastMinute:
    """Two moments of one execution, with the items done by then since the run began.

    Durations are those of a clock that nobody sets; only the checkpoint's own time is the host's.

    Args:
        began: when the execution began, in Unix seconds.
        steps: the items done by then.
    """

    __slots__ = ("_older", "_younger")

    def __init__(self, began: float, steps: int) -> None:
        ago = max(0.0, time.time() - began)
        self._older = self._younger = (time.monotonic() - ago, steps)

    def stamp(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with its time, and what it was measured from."""
        at, now, steps = time.time(), time.monotonic(), checkpoint.steps
        if steps < self._older[1]:  # some are done again
            self._older = self._younger = (now, steps)
        elif now - self._younger[0] >= EACH:
            self._older, self._younger = self._younger, (now, steps)
        since, done = self._older
        sampled_at = max(0.0, at - (now - since))
        return replace(checkpoint, at=at, sampled_at=sampled_at, sampled_steps=done)


class StoreJournal:
    """Saves checkpoints, items in doubt and quarantined items.

    Args:
        execution: the execution that it belongs to.
        ticket: its right to write.
        stops: what makes it leave.
        report: reports its progress.
        interval: seconds between two checkpoints.
        adjust: called with what an operator has adjusted.
    """

    #: After 1, 17, 273 … items: looks are what a short run pays for.
    growth = 16
    looks_at_each_stretch = False

    def __init__(
        self,
        execution: Execution,
        ticket: Ticket,
        stops: StopConditions,
        report: ProgressReport,
        interval: float,
        adjust: Callable[[str], None] = lambda adjusted: None,
    ) -> None:
        self._execution = execution
        self._ticket = ticket
        self._stops = stops
        self._report = report
        self._adjust = adjust
        #: Seconds between two checkpoints.
        self.interval = interval
        self.outage = StoreOutage(execution, ticket, stops, interval)
        self._is_checked = self._warned_still = False
        #: Made at the first checkpoint: a short run has none.
        self._last_minute: LastMinute | None = None
        now = time.monotonic()
        #: When the next checkpoint is due, in monotonic seconds.
        self.due = self._look_due = math.inf
        self._plan(now)
        # After a crash each item is saved, until the execution has lived longer than its
        # predecessor's unsaved items can have taken: else an item that kills would look
        # like progress.
        self._careful_until = now + 2 * interval if ticket.record.crashes > 0 else 0.0

    # -- checkpoints ------------------------------------------------------------------------

    def look(self, done: int) -> None:
        execution = self._execution
        if done or execution.passed_some:
            execution.passed_some = False
            execution.check_committed()
            if not self._is_checked:
                self._is_checked = True
                encode(execution.checkpoint)
        now = self._stops.look()
        if now >= self.due or now < self._careful_until:
            self.flush(now)
        elif now >= self._look_due:
            self._look_for_operators(now)
        if now < self._careful_until or execution.task.track_in_doubt:
            execution.fuse[:] = [0]

    def flush(self, now: float, *, needed: bool = False) -> None:
        """Save the checkpoint; a store that is away is tried again while items continue.

        Args:
            now: monotonic seconds.
            needed: no item begins before it is saved.
        """
        execution, ticket = self._execution, self._ticket
        if not execution.work.save():  # the store never knows of what is not committed
            raise Interrupted(StopReason.LEASE_LOST)
        text = encode(self._stamped())
        self._warn_of_still_cursor(text)
        # Not due while it is under way: the ticker would blow the fuse again each time a store
        # takes longer than the interval, and no item would ever be taken.
        self.due = self._look_due = math.inf
        while True:
            try:
                answer = ticket.flush(text, execution.steps)
                break
            except CorruptRecord:
                raise
            except StoreError as exc:  # it does not answer, or somebody has to fix it
                now = time.monotonic()  # a silent store has cost a whole time-out
                if now < self.failed(now, exc) and not needed:
                    return
            # What is done now would be repeated after a crash; once the lease is over, another
            # worker may have the run. So no item begins.
            self.outage.wait()
            now = time.monotonic()
        if not answer.accepted:
            raise Interrupted(StopReason.LEASE_LOST)
        self.outage.saved(now)
        self._plan(time.monotonic())
        signals.emit(signals.checkpoint_saved, execution.task, **execution.details)
        self._report.send(execution.progress)
        self._obey(answer.requested)

    # -- operators --------------------------------------------------------------------------

    @property
    def contact_due(self) -> float:
        """When the store is asked next, in monotonic seconds."""
        return min(self.due, self._look_due)

    def _plan(self, now: float) -> None:
        """Operators are heard within a second, however far apart checkpoints are."""
        self.due = now + max(self.interval - TICK, self.interval / 2)
        self._look_due = now + HEARD_WITHIN - TICK if self.interval > HEARD_WITHIN else math.inf

    def _look_for_operators(self, now: float) -> None:
        self._look_due = math.inf
        try:
            stands = operator_requests.look(self._ticket)
        except StoreError as exc:  # the next checkpoint deals with that
            logger.debug("%s: cannot be looked at: %s", self._ticket.run, exc)
            return
        if not stands:
            raise Interrupted(StopReason.LEASE_LOST)
        self._look_due = time.monotonic() + HEARD_WITHIN - TICK
        self._obey(self._ticket.record.requested)

    def _obey(self, requested: Request | None) -> None:
        if requested is Request.ADJUST:
            self._see_adjusted()
        elif requested is not None:
            raise Interrupted(REASON_OF[requested])

    def _see_adjusted(self) -> None:
        try:
            adjusted = operator_requests.note_adjusted(self._ticket)
        except StoreError as exc:  # it is asked for again with the next checkpoint
            logger.warning("%s: what was adjusted is not known yet: %s", self._ticket.run, exc)
            return
        if adjusted is None:
            raise Interrupted(StopReason.LEASE_LOST)
        self._adjust(adjusted)
        self._plan(time.monotonic())

    # -- a store that is away ---------------------------------------------------------------

    def _stamped(self) -> Checkpoint:
        execution, record = self._execution, self._ticket.record
        if self._last_minute is None:
            began = record.began or record.started_at
            self._last_minute = LastMinute(began, execution.began_at[0])
        return self._last_minute.stamp(execution.checkpoint)

    def failed(self, now: float, exc: StoreError) -> float:
        """The store took nothing; returns until when items continue, and tries again before."""
        until = self.outage.failed(now, exc)
        self.due = min(now + STORE_RETRY, max(now, until))
        return until

    def _warn_of_still_cursor(self, text: str) -> None:
        if self._warned_still:
            return
        record, steps = self._ticket.record, self._execution.steps
        if steps > record.steps and cursor_part(text) == cursor_part(record.checkpoint):
            self._warned_still = True
            logger.warning(
                "%s: the cursor %.200r has not moved over %s, which would run again if the "
                "task were interrupted here. Yield a cursor that names the last item done.",
                self._ticket.run,
                self._execution.cursor,
                counted(steps - record.steps, "item"),
            )

    def last_saved(self) -> Checkpoint | None:
        saved = self._ticket.record.checkpoint
        return None if saved is None else decode(saved)

    # -- single items -----------------------------------------------------------------------

    def begins(self, cursor: object) -> None:
        doubt = self._execution.doubt
        doubt.begins(cursor)
        try:
            self.flush(time.monotonic(), needed=True)
            self._execution.work.prepare()
        except BaseException:
            doubt.not_begun()
            raise

    def begin_quarantine(self) -> None:
        self._ticket.begin_quarantined(self._execution.steps)

    def quarantine(self, ordinal: int, entry: str) -> None:
        """Keep an item that failed, and the run's message, by which it can be replayed."""
        put = self._ticket.quarantine
        own = envelope_entry(self._ticket.record.envelope)
        while True:
            try:
                kept = put(ENVELOPE, own) and put(ordinal, entry)
                break
            except CorruptRecord:
                raise
            except StoreError as exc:  # as with a checkpoint: somebody has to fix it
                self.failed(time.monotonic(), exc)
            self.outage.wait()
        if not kept:
            raise Interrupted(StopReason.LEASE_LOST)

    def quarantined(self, cursor: object, exc: Exception) -> None:
        execution = self._execution
        signals.emit(
            signals.item_put_aside,
            execution.task,
            **{**execution.details, "cursor": cursor},
            exception=exc,
            errors=execution.errors,
        )
