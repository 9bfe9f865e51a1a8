"""Raising an exception in code that another thread or greenlet runs, and in nothing else.

An :class:`Edge` is the border between a task's own code and what is around it. Whoever takes the
edge's one token may throw; the code that leaves it takes the token too. So an exception never
arrives in what comes after: in Celery, or in the thread's next task.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import Any, Protocol

from celery_graceful._celery.threads.greenlets import greenlet_here, threads_are_greenlets
from celery_graceful._celery.threads.native import native_sleep

#: Seconds between two checks whether a throw is done.
_LOOK = 0.0005
#: Steps within which a thread that runs meets an exception that was raised in it; one would do.
_STEPS = 100


class _Target(Protocol):
    """Code that is under way somewhere."""

    def throw(self, edge: Edge) -> None:
        """Raise in it soon, if the edge is still to be taken. From another thread."""

    def let_arrive(self, kind: type[BaseException]) -> None:
        """Catch the exception, if it is on its way and has not arrived. From the code itself."""


class Edge:
    """Around one piece of code, in the thread or greenlet that makes it.

    Args:
        kind: the exception to raise, a class that takes no arguments.
    """

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self._target = _here()
        self._token: list[bool] = []
        self._thrown = self._closed = False

    def open(self) -> None:
        """From here on the code may be interrupted."""
        self._token.append(True)

    def throw(self) -> None:
        """Interrupt the code, if it can be, and has not been. From another thread; returns soon."""
        self._target.throw(self)

    def take(self) -> bool:
        """Whether the code may be interrupted, by the caller and nobody else."""
        try:
            self._token.pop()  # one step, also between threads
        except IndexError:
            return False
        return True

    def thrown(self) -> None:
        """The exception is on its way."""
        self._thrown = True

    @property
    def was_thrown(self) -> bool:
        """Whether the exception was raised through this edge; settled once it is closed."""
        return self._thrown

    def raise_here(self) -> None:
        """Interrupt the code from a signal handler in its own thread; once, and only if open."""
        if isinstance(self._target, _Signalled) and self._target.is_here() and self.take():
            self.thrown()
            raise self.kind

    def close(self) -> None:
        """From here on nothing is raised. May itself be interrupted; then call it again."""
        if self._closed:
            return
        if not self.take():
            while not self._thrown:
                native_sleep(_LOOK)
            self._target.let_arrive(self.kind)
        self._closed = True


class _Signalled:
    """Code in the main thread: signal handlers run in it, and wake it from waiting."""

    def throw(self, edge: Edge) -> None:
        pass  # the worker sends the signal

    def let_arrive(self, kind: type[BaseException]) -> None:
        pass

    def is_here(self) -> bool:
        return threading.current_thread() is threading.main_thread()


class _Threaded:
    """Code in another thread; what waits within a C function is not interrupted before it ends."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()

    def throw(self, edge: Edge) -> None:
        if edge.take():
            _set_async_exc(self._ident, edge.kind)
            edge.thrown()

    def let_arrive(self, kind: type[BaseException]) -> None:
        # Not to be taken back: Python 3.11 would then look for it at every step of every thread,
        # for ever, and never return from a call under a profiler.
        try:
            for _ in range(_STEPS):
                pass
        except kind:
            return


class _Greenlet:
    """Code in a greenlet of gevent; one that never yields is not interrupted."""

    def __init__(self) -> None:
        gevent = sys.modules["gevent"]
        self._greenlet: Any = gevent.getcurrent()
        self._loop = gevent.get_hub().loop

    def throw(self, edge: Edge) -> None:
        self._loop.run_callback_threadsafe(self._throw, edge)

    def _throw(self, edge: Edge) -> None:
        if edge.take():
            edge.thrown()
            self._greenlet.throw(edge.kind)

    def let_arrive(self, kind: type[BaseException]) -> None:
        pass


class _Unreachable:
    """Code where nothing can be raised safely: greenlets of others than gevent."""

    def throw(self, edge: Edge) -> None:
        pass

    def let_arrive(self, kind: type[BaseException]) -> None:
        pass


def _here() -> _Target:
    if greenlet_here() is not None or threads_are_greenlets():
        return _Greenlet()
    if _in_greenlet():
        return _Unreachable()
    if threading.current_thread() is threading.main_thread():
        return _Signalled()
    return _Threaded()


def _in_greenlet() -> bool:
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _set_async_exc(ident: int, kind: type[BaseException]) -> None:
    set_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
    set_exc(ctypes.c_ulong(ident), ctypes.py_object(kind))
