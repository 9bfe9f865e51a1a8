"""Threads that act during a stop where the main thread is stuck, or runs a task itself."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from celery_graceful._celery.consumer.running import UnderWay
from celery_graceful._celery.threads.native import Bell, start_native_thread
from celery_graceful.stop.flag import StopFlag
from celery_graceful.worker.stopping.countdown import LEAST, Countdown
from celery_graceful.worker.stopping.hand_over import HandOver

#: Seconds of a sleep that only the bell is to end.
IDLE = 3600.0
logger = logging.getLogger("celery_graceful.worker")
#: So long before the kill the process ends by itself, whatever it is still at, in seconds.
LAST_MOMENT = 0.4
#: How late the main thread may come to the cut, in seconds.
LATE = 1.0


class StopThread(ABC):
    """What the threads of a stop have in common: a bell, and an end."""

    def __init__(self, flag: StopFlag) -> None:
        self.flag = flag
        self.ended = False
        self._bell = Bell()

    def start(self) -> None:
        """Begin to wait for the stop."""
        start_native_thread(self.run)

    def ring(self) -> None:
        """The worker was asked to stop, or to hurry. From any thread or signal handler."""
        self._bell.ring()

    def stop(self) -> None:
        """The worker has ended."""
        self.ended = True
        self._bell.ring()

    def wait(self, seconds: float = IDLE) -> None:
        """Sleep so long, or until the bell rings. In the thread."""
        self._bell.wait(seconds)

    @abstractmethod
    def run(self) -> None:
        """What the thread does."""


class LastMoment(StopThread):
    """Ends a stop in time when the main thread is stuck: a broker is silent, say.

    Does what can be done without the broker, once the kill is near.
    It goes on when the worker has ended: the process may have a kill before it.

    Args:
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
        was_cut = False
        while (left := self._last() - time.monotonic()) > 0:
            late = (self.flag.cut or 0.0) + LATE - time.monotonic()
            if late <= 0 and not was_cut:
                was_cut = True
                self._cut()
            self.wait(left if was_cut else min(left, late))
        self._hand_over.leave_unsettled()

    def _cut(self) -> None:
        """Whatever goes wrong with it: the process has to end in time all the same."""
        try:
            self._hand_over.cut_without_main_thread()
        except Exception:
            logger.exception("What still runs could not be asked to end before the kill")

    def _last(self) -> float:
        return max(self.flag.cut or 0.0, (self.flag.deadline or 0.0) - LAST_MOMENT)


class Interrupter(StopThread):
    """For solo, whose task keeps the main thread busy: counts down, and interrupts the task.

    Args:
        running: returns what runs.
        due: returns what of it is cut off.
        interrupt: called at the cut, and again should something run on.
    """

    def __init__(
        self,
        flag: StopFlag,
        running: Callable[[], list[UnderWay]],
        due: Callable[[], list[UnderWay]],
        interrupt: Callable[[], None],
    ) -> None:
        super().__init__(flag)
        self._running = running
        self._due = due
        self._interrupt = interrupt

    def run(self) -> None:
        while not self.flag.raised and not self.ended:
            self.wait()
        countdown = Countdown(self.flag)
        while not self.ended and (countdown.left is None or countdown.left > 0):
            self._tell(countdown)
            self.wait(countdown.pause)
        for _ in range(2):  # a task may swallow what is raised in it
            if self.ended or not self._something_runs():
                return
            self._interrupt()
            deadline = self.flag.deadline or time.monotonic() + 2 * LEAST
            self.wait(max(0.1, (deadline - time.monotonic()) / 2))

    def _tell(self, countdown: Countdown) -> None:
        """A line that cannot be written must not keep the task from being interrupted."""
        try:
            countdown.tell(self._running)
        except Exception:
            logger.exception("What still runs is not known")

    def _something_runs(self) -> bool:
        try:
            return bool(self._due())
        except Exception:
            logger.exception("Whether something runs is not known, so it is interrupted")
            return True
