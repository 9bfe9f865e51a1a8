"""A thread of the main process that sleeps until the worker is asked to stop."""

from __future__ import annotations

from abc import ABC, abstractmethod

from celery_graceful._celery.threads.native import Bell, start_native_thread
from celery_graceful.stop.flag import StopFlag

#: Seconds of a sleep that only the bell is to end.
IDLE = 3600.0


class StopThread(ABC):
    """What the threads of a stop have in common: a bell, and an end.

    Args:
        flag: the worker's stop flag.
    """

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
