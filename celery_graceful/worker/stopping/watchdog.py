"""A thread that ends a stop in time when the main thread is stuck: a broker is silent, say."""

from __future__ import annotations

import logging
import time

from celery_graceful.stop.flag import StopFlag
from celery_graceful.worker.stopping.hand_over import HandOver
from celery_graceful.worker.stopping.stop_thread import StopThread

logger = logging.getLogger("celery_graceful.worker")

#: So long before the kill the process ends by itself, whatever it is still at, in seconds.
LAST_MOMENT = 0.4
#: How late the main thread may come to the cut, in seconds.
LATE = 1.0


class LastMoment(StopThread):
    """Does what can be done without the broker, once the kill is near.

    It goes on when the worker has ended: the process may have a kill before it.

    Args:
        flag: the worker's stop flag.
        hand_over: what the main thread ought to have done.
    """

    def __init__(self, flag: StopFlag, hand_over: HandOver) -> None:
        super().__init__(flag)
        self._hand_over = hand_over

    def run(self) -> None:
        while self.flag.deadline is None:
            if self.ended:
                return
            self.wait()
        told = False
        while (left := self._last() - time.monotonic()) > 0:
            late = (self.flag.cut or 0.0) + LATE - time.monotonic()
            if late <= 0 and not told:
                told = True
                self._cut()
            self.wait(left if told else min(left, late))
        self._hand_over.leave_unsettled()

    def _cut(self) -> None:
        """Whatever goes wrong with it: the process has to end in time all the same."""
        try:
            self._hand_over.cut_without_main_thread()
        except Exception:
            logger.exception("What still runs could not be asked to end before the kill")

    def _last(self) -> float:
        return max(self.flag.cut or 0.0, (self.flag.deadline or 0.0) - LAST_MOMENT)
