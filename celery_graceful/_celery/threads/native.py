"""Real threads, also where gevent has put greenlets in their place, and what they share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from celery_graceful._celery.threads.greenlets import original
from celery_graceful._celery.threads.log_writer import send_lines_to_main_thread

T = TypeVar("T")

#: Python raises where it is to wait for longer than the system can, in seconds.
_LONGEST = 86400.0
#: A copy of what other threads change succeeds soon.
_TRIES = 100
#: Seconds between the later tries; half of them take a twentieth of a second.
_PAUSE = 0.001


def start_native_thread(target: Callable[[], None]) -> None:
    """Run ``target`` in a thread of the operating system that ends with the process."""
    gevent = sys.modules.get("gevent")
    if gevent is not None:
        _ = gevent.get_hub().resolver  # imported at first use: not by two threads at once
        send_lines_to_main_thread()
    original("_thread", "start_new_thread")(target, ())


def native_sleep(seconds: float) -> None:
    """Sleep without yielding to other greenlets."""
    original("time", "sleep")(seconds)


def native_lock() -> Any:
    """A lock between threads of the operating system, to be held for a moment."""
    return original("_thread", "allocate_lock")()


class Bell:
    """Wakes one sleeping thread, also where gevent has replaced what Python offers for it."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._lock.acquire()

    def ring(self) -> None:
        """End the present wait, or the next one at once. From any thread or signal handler."""
        try:
            self._lock.release()
        except RuntimeError:  # it has been rung already
            return

    def wait(self, seconds: float) -> bool:
        """Sleep so long, a day at most, or until the bell rings; whether it did."""
        return bool(self._lock.acquire(True, min(max(0.0, seconds), _LONGEST)))


class StillChanging(RuntimeError):
    """What another thread changes all the time cannot be copied: nobody knows what is in it."""


def snapshot(items: Iterable[T]) -> list[T]:
    """A copy of a set or mapping that another thread changes.

    Raises:
        StillChanging: it changes all the time. That is another answer than "nothing is in it".
    """
    for attempt in range(_TRIES):
        try:
            return list(items)
        except RuntimeError:  # changed size during iteration
            native_sleep(0.0 if attempt < _TRIES // 2 else _PAUSE)
    raise StillChanging(f"a {type(items).__name__} changed {_TRIES} times while it was copied")


def where_main_thread_is() -> str:
    """The innermost code that this process's main thread is in, for people."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return "nobody knows where"
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
