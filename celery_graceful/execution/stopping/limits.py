"""What bounds an execution: its options, its time limits, and the pool it runs in."""

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
    from celery_graceful.execution.run_task import RunTask

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
#: An execution leaves after this share of the smallest time limit in force.
SHARE_OF_TIME_LIMIT = 0.8


class ExecutionOptions(NamedTuple):
    """Times in seconds; ``max_execution_time`` 0 means no limit."""

    checkpoint_interval: float
    max_execution_time: float
    #: The smallest time limit in force, 0 without one.
    time_limit: float = 0.0


def execution_options(task: RunTask, settings: Settings, request: Any) -> ExecutionOptions:
    """The options in force for one execution: the task's own, else the settings."""
    flush = _first(task.checkpoint_interval, settings.checkpoint_interval)
    longest = _first(task.max_execution_time, settings.max_execution_time)
    limits = [
        float(limit)
        for limit in (*(request.timelimit or ()), task.time_limit, task.soft_time_limit)
        if limit
    ]
    limit = min(limits, default=0.0)
    if longest is None:
        longest = SHARE_OF_TIME_LIMIT * limit
    return ExecutionOptions(float(flush or settings.checkpoint_interval), float(longest), limit)


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
