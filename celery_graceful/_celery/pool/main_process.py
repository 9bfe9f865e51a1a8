"""The worker's main process: the signals that stop it, and its end while threads still work.

A stop has to be known when the signal arrives. On a cold stop Celery sends
``worker_shutting_down`` last, after its soft timeout and after the pool has ended; on SIGHUP not at
all. So the handlers it installs are wrapped. Tried on Celery 5.5 to 5.7.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from celery import signals as celery_signals
from celery.apps import worker as _typed_worker
from celery.platforms import EX_FAILURE, EX_OK

from celery_graceful._celery.threads.native import native_sleep, start_native_thread
from celery_graceful._celery.worker_parts import connection_of

logger = logging.getLogger("celery_graceful.worker")

_program: Any = _typed_worker

_STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP")


def watch_signals(before: Callable[[str, bool], bool]) -> None:
    """Call ``before(signal_name, cold)`` whenever Celery is about to handle a stop signal.

    ``cold`` means that Celery will kill what runs. When ``before`` returns false, Celery's own
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


#: How long the broker may take to say goodbye, in seconds.
FAREWELL = 0.5
#: How long a process may take for what it does in its last moment, in seconds.
MOMENT = 0.3


def leave_now(worker: Any) -> NoReturn:
    """End this process, whatever its threads or greenlets are at.

    The connection is closed properly: of one that is cut with something unread in it, the broker
    may drop what was sent last, and with it the messages that were given back.
    """
    start_native_thread(partial(_leave_after, FAREWELL))
    try:
        connection = connection_of(worker)
        if connection is not None:
            connection.close()
        if worker.pidlock:
            worker.pidlock.release()
        logging.shutdown()
    finally:
        os._exit(EX_OK)


@contextmanager
def leave_anyway() -> Iterator[None]:
    """End this process after the block, or while it runs, should it take longer than a moment."""
    start_native_thread(partial(_leave_after, MOMENT))
    try:
        yield
    except Exception:
        logger.exception("The worker's end met an error")
    finally:
        os._exit(EX_OK)


def _leave_after(seconds: float) -> None:
    native_sleep(seconds)
    os._exit(EX_OK)
