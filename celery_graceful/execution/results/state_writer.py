"""The one thread of a process that writes states to the result backend.

Celery keeps a backend, and with it a connection, for each thread: a thread for each write would
open one each time. It starts with the first write and sleeps between two. Each run has a slot with
the latest write it asked for; a slow backend makes runs skip writes, and delays no item.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from celery_graceful._celery.task import backends
from celery_graceful._celery.threads.django_databases import (
    close_broken_connections,
    close_stale_connections,
)
from celery_graceful.forks import after_fork

logger = logging.getLogger("celery_graceful.runs")

#: Seconds that a process which ends waits for the write under way.
_LAST_WRITE = 1.0
#: Seconds without a write after which connections that are no longer needed are closed.
_IDLE = 5.0


class Slot:
    """What one run wants written."""

    __slots__ = ("busy", "pending")

    def __init__(self) -> None:
        self.pending: Callable[[], None] | None = None
        self.busy = False


class StateWriter:
    """Writes what is put, one after the other, in a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Slot] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, slot: Slot, write: Callable[[], None]) -> None:
        """Have ``write`` called; it must not raise. Replaces what this slot has waiting."""
        with self._changed:
            if self._closed:
                return
            if slot.pending is None:
                self._waiting.append(slot)
            slot.pending = write
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="celery-graceful-states", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def drop(self, slot: Slot) -> None:
        """Forget what this slot has waiting; a write that has begun continues."""
        with self._changed:
            if slot.pending is not None:
                slot.pending = None
                self._waiting.remove(slot)

    def wait(self, slot: Slot, patience: float | None) -> bool:
        """Wait until nothing of this slot is waiting or under way; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not slot.busy and slot.pending is None, patience)

    def close(self) -> None:
        """End the thread and its connections; what waits is dropped."""
        with self._changed:
            self._closed = True
            for slot in self._waiting:
                slot.pending = None
            self._waiting.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_LAST_WRITE)

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            slot, write = taken
            try:
                write()
            except Exception:  # the thread serves all runs of the process
                logger.exception("A state could not be written; those of other runs are")
            finally:
                close_broken_connections()
                with self._changed:
                    slot.busy = False
                    self._changed.notify_all()
        backends.close_of_this_thread()

    def _take(self) -> tuple[Slot, Callable[[], None]] | None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._waiting or self._closed, _IDLE):
                close_stale_connections()
            if not self._waiting:
                return None
            slot = self._waiting.popleft()
            write, slot.pending, slot.busy = slot.pending, None, True
            assert write is not None
            return slot, write


_writer = StateWriter()


def state_writer() -> StateWriter:
    """The writer of this process."""
    return _writer


def close_writer() -> None:
    """The process ends, or its worker does: end the thread and its connections."""
    global _writer
    ended, _writer = _writer, StateWriter()
    ended.close()


@after_fork
def _renew() -> None:
    # Threads do not survive a fork, and one of them may have held the lock.
    global _writer
    _writer = StateWriter()
