"""Why an execution in a worker has to leave: a list of conditions, the first that holds counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery_graceful._celery.message.headers import QUEUE
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.loop.pacing import Pacing
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Request
from celery_graceful.runs.ticket import Ticket
from celery_graceful.stop.flag import StopFlag
from celery_graceful.stop.hold import has_to_stop, queue_of_delivery

#: Seconds of work between two attempts to hand over while the broker is away.
HOLD_ON = 1.0
REASON_OF = {Request.CANCEL: StopReason.CANCELLED, Request.PAUSE: StopReason.PAUSED}


class StopConditions:
    """What makes one execution leave its worker.

    A new condition is a method that returns a reason or ``None``, and a place in
    :data:`CONDITIONS`. If it can begin to hold between two checkpoints, :meth:`may_hold` has to see
    it coming.

    Args:
        pacing: how long its items take.
    """

    def __init__(
        self, execution: Execution, ticket: Ticket, flag: StopFlag, pacing: Pacing, request: Any
    ) -> None:
        self.flag = flag
        self._execution = execution
        self._ticket = ticket
        self._pacing = pacing
        self._request = request
        #: Since when a signal wants this process to end, in monotonic seconds.
        self.term_signal_at: float | None = None
        self._hold_on_until = 0.0
        self._held_number = b""

    def look(self) -> float:
        """Returns the time, in monotonic seconds.

        Raises:
            Interrupted: the execution has to leave.
        """
        now = time.monotonic()
        if now < self._hold_on_until and self._pacing.would_be_cut(now):
            # No item should begin, and the broker takes no successor yet.
            time.sleep(self._hold_on_until - now)
            now = time.monotonic()
        self.check(now)
        return now

    def check(self, now: float) -> None:
        """Raise :exc:`~.loop.Interrupted` if the execution has to leave."""
        for condition in CONDITIONS[:1] if now < self._hold_on_until else CONDITIONS:
            reason = condition(self, now)
            if reason is not None:
                raise Interrupted(reason)

    def may_hold(self, now: float) -> bool:
        """Whether a condition may hold before the next tick. Asked in the ticker's thread."""
        return self.flag.raised or self._may_be_held() or self._pacing.may_overrun(now)

    def hold_on(self) -> None:
        """The broker takes no successor: process items for a while before trying again."""
        self._hold_on_until = time.monotonic() + HOLD_ON

    # -- the conditions ---------------------------------------------------------------------

    def is_requested(self, now: float) -> StopReason | None:
        """By an operator, or by ``revoke``."""
        requested = self._ticket.record.requested
        return None if requested is None else REASON_OF.get(requested)

    def worker_stops(self, now: float) -> StopReason | None:
        """A stop of any kind has begun."""
        stop = self.flag.stop
        return None if stop is None else stop.reason

    def process_dies(self, now: float) -> StopReason | None:
        """This process has got a termination signal."""
        return None if self.term_signal_at is None else StopReason.SHUTDOWN

    def is_held(self, now: float) -> StopReason | None:
        """By the maintenance mode; worked out once for each change of it."""
        if not self._may_be_held():
            return None
        number = self.flag.mode_snapshot.number
        if has_to_stop(self.flag, self._execution.task.name, self._queue()):
            return StopReason.MAINTENANCE
        self._held_number = number
        return None

    def overruns(self, now: float) -> StopReason | None:
        """The next item would not end within ``max_execution_time`` or a time limit."""
        steps, cursor = self._execution.began_at
        items = self._execution.steps - steps
        # An item that takes longer by itself would never be tried. A source may have moved the
        # cursor without an item.
        if (items <= 0 and self._execution.cursor is cursor) or not self._pacing.overruns(now):
            return None
        if items > 0:
            self._pacing.left_early(now, items)
        return StopReason.MAX_EXECUTION_TIME

    def _may_be_held(self) -> bool:
        mode_snapshot = self.flag.mode_snapshot
        return bool(mode_snapshot) and mode_snapshot.number != self._held_number

    def _queue(self) -> str:
        """The run's own queue, even when its message has come ahead of others by another."""
        if (known := (self._request.properties or {}).get(QUEUE)) is not None:
            return str(known)
        return queue_of_delivery(self._execution.task.app, self._request.delivery_info)


#: In order of priority. While the broker takes no successor, only the first one counts.
CONDITIONS: tuple[Callable[[StopConditions, float], StopReason | None], ...] = (
    StopConditions.is_requested,
    StopConditions.worker_stops,
    StopConditions.process_dies,
    StopConditions.is_held,
    StopConditions.overruns,
)
