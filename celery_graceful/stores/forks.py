"""Making sure that nobody is in the middle of something when the process forks."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("celery_graceful.stores")

#: Seconds that a fork waits for the calls under way.
_PATIENCE = 5.0

_gates: weakref.WeakSet[ForkGate] = weakref.WeakSet()
_watching = False
_watching_lock = threading.Lock()


class ForkGate:
    """Lets calls run side by side, but no fork during a call.

    A child that is forked while another thread is inside a library (SQLite, a driver, a pool)
    inherits that library's locks, held for ever.

    Args:
        before: Called in the parent just before each fork, while nobody is inside.
        after_in_child: Called in each child just after its fork.
    """

    def __init__(self, *, before: Callable[[], None], after_in_child: Callable[[], None]) -> None:
        self._before = before
        self._after_in_child = after_in_child
        self._quiet = threading.Condition()
        self._inside = 0
        self._closing = False
        _watch(self)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Hold off forks while the block runs."""
        with self._quiet:
            while self._closing:
                self._quiet.wait(_PATIENCE)
            self._inside += 1
        try:
            yield
        finally:
            with self._quiet:
                # Zero already when this very call forked, and this is the child.
                self._inside = max(0, self._inside - 1)
                self._quiet.notify_all()

    def close(self) -> None:
        """Wait until nobody is inside, and let nobody in: the process is about to fork."""
        self._quiet.acquire()
        self._closing = True
        deadline = time.monotonic() + _PATIENCE
        # Not for ever: a signal handler may fork in the middle of its own thread's call.
        while self._inside and self._quiet.wait(deadline - time.monotonic()):
            pass
        if not self._inside:
            self._before()

    def open(self) -> None:
        """Let calls in again, in the parent."""
        self._closing = False
        try:
            self._quiet.notify_all()
            self._quiet.release()
        except RuntimeError:  # interrupted before it was acquired
            logger.debug("A gate that was not closed is open")

    def reset(self) -> None:
        """Let calls in again, in the child: other threads and what they held are gone."""
        # First what lets calls in: what comes after it may raise.
        self._quiet = threading.Condition()
        self._closing = False
        self._inside = 0
        self._after_in_child()


def _watch(gate: ForkGate) -> None:
    global _watching
    with _watching_lock:
        _gates.add(gate)
        if not _watching:
            os.register_at_fork(
                before=_close_all, after_in_parent=_open_all, after_in_child=_reset_all
            )
            _watching = True


_closed: list[ForkGate] = []


def _close_all() -> None:
    _watching_lock.acquire()
    for gate in list(_gates):
        _closed.append(gate)  # first: whatever happens, it is opened again
        _attempt(gate.close)


def _open_all() -> None:
    try:
        while _closed:
            _attempt(_closed.pop().open)
    finally:
        _watching_lock.release()


def _reset_all() -> None:
    try:
        while _closed:
            _attempt(_closed.pop().reset)
    finally:
        _watching_lock.release()


def _attempt(call: Callable[[], None]) -> None:
    """What is raised here is not the fork's: Python would print it and go on without the others.

    That may be an exception of a signal handler, such as a soft time limit.
    """
    try:
        call()
    except BaseException:
        logger.exception("A connection to a store may not be usable after a fork")
