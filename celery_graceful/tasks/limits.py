"""What bounds a leg: its options, its time limits, and the pool it runs in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.exceptions import Ignore, Retry

from celery_graceful.errors import (
    BaseExceptionRaised,
    CheckpointLost,
    CursorError,
    DefinitionError,
    MaxCrashesExceeded,
    MaxItemErrorsExceeded,
    TransactionError,
)
from celery_graceful.settings import Settings
from celery_graceful.stop.flag import StopFlag

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["LegOptions", "leg_options", "runs_in_main_process", "will_autoretry"]

#: What a retry would only meet again.
FINAL_ERRORS = (
    BaseExceptionRaised,
    CheckpointLost,
    CursorError,
    DefinitionError,
    MaxCrashesExceeded,
    MaxItemErrorsExceeded,
    TransactionError,
)
#: A leg leaves after this share of the smallest time limit in force.
SHARE_OF_TIME_LIMIT = 0.8


class LegOptions(NamedTuple):
    """Times in seconds; ``max_leg_runtime`` 0 means no limit."""

    flush_interval: float
    max_leg_runtime: float
    #: The smallest time limit in force, 0 without one.
    time_limit: float = 0.0


def leg_options(task: RunTask, settings: Settings, request: Any) -> LegOptions:
    """The options in force for one leg: the task's own, else the settings."""
    flush = _first(task.flush_interval, settings.flush_interval)
    longest = _first(task.max_leg_runtime, settings.max_leg_runtime)
    limits = [
        float(limit)
        for limit in (*(request.timelimit or ()), task.time_limit, task.soft_time_limit)
        if limit
    ]
    limit = min(limits, default=0.0)
    if longest is None:
        longest = SHARE_OF_TIME_LIMIT * limit
    return LegOptions(float(flush or settings.flush_interval), float(longest), limit)


def _first(own: float | str | None, setting: float | None) -> float | None:
    if own is None:
        return setting
    from celery_graceful.durations import parse

    return parse(own)


def will_autoretry(task: RunTask, exc: BaseException) -> bool:
    """Whether Celery's autoretry wrapper, outside of the loop, will retry after ``exc``."""
    if isinstance(exc, (Ignore, Retry)) or not hasattr(task, "_orig_run"):
        return isinstance(exc, Retry)
    if isinstance(exc, FINAL_ERRORS):
        return False
    wanted = tuple(getattr(task, "autoretry_for", ()))
    unwanted = tuple(getattr(task, "dont_autoretry_for", ()))
    return isinstance(exc, wanted) and not isinstance(exc, unwanted)


def runs_in_main_process(flag: StopFlag) -> bool:
    """Whether the task blocks the worker's own main thread (the solo pool)."""
    import threading

    return (
        flag.owner_pid == os.getpid()
        and flag.solo
        and threading.current_thread() is threading.main_thread()
    )
