"""What happens at a fork: the only user of ``os.register_at_fork``.

Threads do not survive a fork, and what they held stays locked in the child. So a child begins anew
with what belongs to a process (:func:`after_fork`), and no fork happens in the middle of a call
that cannot be begun anew (:class:`ForkGate`). A spawned child has nothing of its parent's.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import TypeVar

logger = logging.getLogger("celery_graceful.stores")

_Call = TypeVar("_Call", bound=Callable[[], object])

#: Seconds that a fork waits for the calls under way.
_PATIENCE = 5.0

#: What children call; methods do not keep their object alive.
_calls: list[Callable[[], Callable[[], object] | None]] = []
_gates: weakref.WeakSet[ForkGate] = weakref.WeakSet()
#: Gates that are closed for the fork under way.
_closed: list[ForkGate] = []
#: Held during each fork: nobody is in the middle of registering then.
_lock = threading.RLock()


def after_fork(call: _Call) -> _Call:
    """Call this in each child just after its fork; also a decorator.

    Args:
        call: a function, or a method of an object that need not live on. It must be quick, since
            every fork of the process waits for it.
    """
    known = weakref.WeakMethod(call) if isinstance(call, MethodType) else _always(call)
    with _lock:
        _calls[:] = [each for each in _calls if each() is not None]
        _calls.append(known)
    return call


def _always(call: Callable[[], object]) -> Callable[[], Callable[[], object]]:
    return lambda: call


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
        with _lock:
            _gates.add(self)

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


def _before_fork() -> None:
    _lock.acquire()
    for gate in list(_gates):
        _closed.append(gate)  # first: whatever happens, it is opened again
        _attempt(gate.close)


def _in_parent() -> None:
    try:
        while _closed:
            _attempt(_closed.pop().open)
    finally:
        _lock.release()


def _in_child() -> None:
    try:
        while _closed:
            _attempt(_closed.pop().reset)
        for known in list(_calls):
            call = known()
            if call is not None:
                _attempt(call)
    finally:
        _lock.release()


def _attempt(call: Callable[[], object]) -> None:
    """What is raised here is not the fork's: Python would print it and go on without the others.

    That may be an exception of a signal handler, such as a soft time limit.
    """
    try:
        call()
    except BaseException:
        logger.exception("Something of celery-graceful may not be usable after a fork")


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
