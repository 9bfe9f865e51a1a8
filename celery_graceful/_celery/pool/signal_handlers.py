"""Hearing of a stop when the signal arrives, not when Celery has dealt with it.

On a cold stop Celery sends ``worker_shutting_down`` last, after its soft timeout and after the
pool has ended; on SIGHUP not at all. So the handlers it installs are wrapped.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from celery import signals as celery_signals
from celery.apps import worker as _typed_worker
from celery.platforms import EX_FAILURE

_program: Any = _typed_worker

_STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP")


def watch_signals(before: Callable[[str, bool], bool]) -> None:
    """Call ``before(signal_name, cold)`` whenever Celery is about to handle a stop signal.

    ``cold`` tells that Celery will kill what runs. When ``before`` returns false, Celery's own
    handler is left out. Has to run in the main thread, after Celery has installed its handlers;
    does nothing in other threads (an embedded worker has no handlers).
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in _STOP_SIGNALS:
        _wrap(name, before)


def interrupt_main_thread() -> None:
    """Have the handler of :func:`watch_signals` run in the main thread. From any other thread.

    Does nothing in a program whose handlers are its own: the signal would end it.
    """
    if getattr(signal.getsignal(signal.SIGTERM), "graceful", False):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def say_cold(worker: Any, name: str) -> None:
    """Say what Celery's handler of a cold stop says, to people and to receivers, without the rest.

    Celery does so when all is over; here it is said at the beginning.
    """
    _program.safe_say("worker: Cold shutdown (MainProcess)", sys.__stdout__)
    celery_signals.worker_shutting_down.send(
        sender=worker.hostname, sig=name, how="Cold", exitcode=EX_FAILURE
    )


def _wrap(name: str, before: Callable[[str, bool], bool]) -> None:
    number = getattr(signal, name, None)
    if number is None:
        return
    theirs = signal.getsignal(number)
    if not callable(theirs) or getattr(theirs, "graceful", False):
        return
    if not getattr(theirs, "__module__", "").startswith("celery."):
        return

    def on_stop_signal(signum: int, frame: FrameType | None) -> Any:
        # Celery names its handlers worker_Warm and worker_Cold.
        if before(name, getattr(theirs, "__name__", "").endswith("Cold")):
            theirs(signum, frame)
        # Celery installs other handlers while it handles one (a second SIGINT stops cold).
        watch_signals(before)

    on_stop_signal.graceful = True  # type: ignore[attr-defined]
    signal.signal(number, on_stop_signal)
