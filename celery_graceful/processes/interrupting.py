"""Raising an exception in the middle of somebody else's code, at once.

In the main thread by a signal, which cuts short what waits in the kernel; in another thread when it
next runs Python; in a greenlet when the hub next has its turn. Code that is busy in C hears of it
afterwards.
"""

from __future__ import annotations

import _thread
import ctypes
import importlib
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Protocol

#: Ignored by who does not handle it, so that one that comes late does no harm.
_SIGNAL = signal.SIGURG
#: Seconds between two signals: one that comes right before a system call does not cut that short.
_AGAIN = 0.05
#: Steps within which a thread that runs meets an exception that was raised in it; one would do.
_STEPS = 100


class Interruption(Protocol):
    """One block that can be interrupted."""

    def arm(self) -> None:
        """The block begins; called in its own thread."""

    def disarm(self) -> None:
        """The block has ended."""

    def strike(self) -> None:
        """Raise in the block, if it has not ended; called in any thread."""


def interruption(kind: type[BaseException]) -> Interruption:
    """One for the code that calls this; ``kind`` is raised without arguments."""
    if _cooperative():
        return _Greenlet(kind)
    if threading.current_thread() is threading.main_thread():
        return _MainThread(kind)
    return _Thread(kind)


def _cooperative() -> bool:
    """Whether threads are greenlets."""
    patched = sys.modules.get("gevent.monkey")
    return patched is not None and bool(patched.is_module_patched("threading"))


_armed: list[_MainThread] = []


class _MainThread:
    _before: Any = None

    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind
        self._struck = False

    def arm(self) -> None:
        if not _armed:
            _MainThread._before = signal.signal(_SIGNAL, _on_signal)
        _armed.append(self)

    def disarm(self) -> None:
        if self in _armed:
            _armed.remove(self)
            if not _armed:
                # Of the class: a function found by ``self`` would become a method.
                signal.signal(_SIGNAL, _MainThread._before or signal.SIG_DFL)

    def strike(self) -> None:
        self._struck = True
        _thread.start_new_thread(self._signal, ())

    def _signal(self) -> None:
        main = threading.main_thread().ident
        while self._struck and self in _armed and main is not None:
            signal.pthread_kill(main, _SIGNAL)
            time.sleep(_AGAIN)

    def take(self) -> type[BaseException] | None:
        """What is to be raised, once."""
        struck, self._struck = self._struck, False
        return self._kind if struck else None


def _on_signal(number: int, frame: FrameType | None) -> None:
    for armed in _armed:
        if not _leaves(frame, armed) and (kind := armed.take()):
            raise kind
    before = _MainThread._before
    if callable(before):
        before(number, frame)


def _leaves(frame: FrameType | None, armed: _MainThread) -> bool:
    """Whether its own ``__exit__`` has been entered just now: nothing there could catch it yet, and
    the end of the block says the same."""
    return (
        frame is not None
        and frame.f_code.co_name == "__exit__"
        and getattr(frame.f_locals.get("self"), "_interruption", None) is armed
    )


class _Thread:
    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._struck = False
        self._thread: int | None = None

    def arm(self) -> None:
        self._thread = threading.get_ident()

    def disarm(self) -> None:
        with self._lock:
            self._thread = None
        if self._struck:
            self._let_arrive()

    def _let_arrive(self) -> None:
        """It may be on its way. Taking it back would leave Python 3.11 looking for it at every step
        of every thread, for ever."""
        try:
            for _ in range(_STEPS):
                pass
        except self._kind:
            return

    def strike(self) -> None:
        with self._lock:
            if self._thread is not None:
                self._struck = True
                _raise_in(self._thread, self._kind)


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    set_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
    set_exc(ctypes.c_ulong(thread), ctypes.py_object(kind))


class _Greenlet:
    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind
        self._greenlet: Any = None

    def arm(self) -> None:
        self._greenlet = _gevent().getcurrent()

    def disarm(self) -> None:
        self._greenlet = None

    def strike(self) -> None:
        _gevent().get_hub().loop.run_callback(self._throw)

    def _throw(self) -> None:
        if self._greenlet is not None:
            self._greenlet.throw(self._kind)


def _gevent() -> Any:
    return importlib.import_module("gevent")
