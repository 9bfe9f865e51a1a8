"""Exceptions that are no ``Exception``: telling a worker's stop from what a task raises itself.

A stop lets the exception through, so that the message goes back. What the task raises itself fails
the run, once: Celery would report it in another way on each pool, or not at all, and deliver the
message again.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.utils.saferepr import saferepr

from celery_graceful._celery.pool.children import in_pool_child, is_ending
from celery_graceful.errors import BaseExceptionRaised, CutOff
from celery_graceful.execution.stopping import limits
from celery_graceful.stop.flag import StopFlag


def is_stop(exc: BaseException, flag: StopFlag, request: Any) -> bool:
    """Whether ``exc`` comes from whoever ends this process or execution, not from the task.

    Args:
        exc: what arrived in the execution; no :exc:`Exception`.
        request: the execution's own.
    """
    if is_ending() or _is_hard_limit(exc, request):
        return True
    if isinstance(exc, KeyboardInterrupt):
        return _is_interrupted_by_terminal()
    if not flag.raised:
        return False
    if isinstance(exc, (WorkerShutdown, WorkerTerminate)):
        return limits.runs_in_main_process(flag)
    return isinstance(exc, CutOff) or is_greenlet_exit(exc)


def is_greenlet_exit(exc: BaseException) -> bool:
    """Whether somebody killed the greenlet; Celery takes that for a success."""
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and isinstance(exc, greenlet.GreenletExit)


def failure_of(name: str, exc: BaseException) -> BaseExceptionRaised:
    """The error that the run ``name`` fails with, in place of ``exc``."""
    return BaseExceptionRaised(
        f"{name}: the task raised {saferepr(exc, maxlen=200)}. That is no Exception, and nobody is "
        "stopping this worker, so the run fails and is not retried. Raise an Exception, or catch "
        f"{type(exc).__name__} in the item."
    )


def _is_interrupted_by_terminal() -> bool:
    """Whether SIGINT raises KeyboardInterrupt here, as in a worker that a program embeds."""
    return (
        not in_pool_child()
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def _is_hard_limit(exc: BaseException, request: Any) -> bool:
    """Whether a pool of greenlets ends the execution at its hard time limit."""
    if type(exc).__module__.partition(".")[0] not in ("gevent", "eventlet"):
        return False
    limit = (getattr(request, "timelimit", None) or (None,))[0]
    return limit is not None and getattr(exc, "seconds", None) == limit
