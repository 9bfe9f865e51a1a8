"""Log lines of real threads in a gevent process: greenlets of the main thread write them.

The locks of logging handlers are gevent's there. A greenlet that waits for one while another
thread of the operating system holds it may never be woken
(https://github.com/gevent/gevent/issues/2013): when that was the greenlet that consumes, the
worker stood still. Seen with gevent 26.9, which fixes a part of it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery_graceful._celery.threads.greenlets import original, threads_are_greenlets

OURS = "celery_graceful"
#: How long the main thread may take to come to a line, and to write it, in seconds.
PATIENCE, WRITING = 2.0, 5.0


def send_lines_to_main_thread() -> None:
    """Let this package's lines be written by the main thread alone; does nothing without gevent.

    Called before each thread is started: by then the loggers that it uses are there.
    """
    if not threads_are_greenlets():
        return
    hub = sys.modules["gevent"].get_hub()
    if not hub.main_hub:
        return
    for name in list(logging.root.manager.loggerDict):
        if name == OURS or name.startswith(f"{OURS}."):
            logger = logging.getLogger(name)
            if not any(isinstance(one, MainThreadWrites) for one in logger.filters):
                logger.addFilter(MainThreadWrites(hub))


class MainThreadWrites(logging.Filter):
    """Keeps back a record of another thread until the main thread has written it.

    While the main thread's greenlets do not yield, none of them can wait for a lock either:
    then the record passes, and its own thread writes it.

    Args:
        hub: gevent's hub of the main thread, which is the present one.
    """

    def __init__(self, hub: Any) -> None:
        super().__init__()
        self._hub = hub
        self._ident = original("_thread", "get_ident")
        self._main = self._ident()
        self._spawn = sys.modules["gevent"].spawn
        self._answers = True

    def filter(self, record: logging.LogRecord) -> bool:
        if self._ident() == self._main:
            return True
        line = _Line(record)
        loop = self._hub.loop
        if loop is None:  # the hub has been destroyed: no greenlet is left
            return True
        loop.run_callback_threadsafe(self._spawn, self._write, line)
        if line.wait(PATIENCE if self._answers else 0.0):
            return False
        if line.take():
            self._answers = False
            return True
        line.wait(WRITING)
        return False

    def _write(self, line: _Line) -> None:
        """In a greenlet of the main thread."""
        self._answers = True
        if line.take():
            try:
                logging.getLogger(line.record.name).handle(line.record)
            finally:
                line.end()


class _Line:
    """A record that one of two threads writes."""

    def __init__(self, record: logging.LogRecord) -> None:
        self.record = record
        self._left = [True]
        self._lock = original("_thread", "allocate_lock")()
        self._lock.acquire()

    def take(self) -> bool:
        """Whether it is the caller's to write."""
        try:
            return self._left.pop()  # atomic
        except IndexError:
            return False

    def end(self) -> None:
        """It has been written."""
        self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Whether it has been written by then."""
        return bool(self._lock.acquire(True, seconds))
