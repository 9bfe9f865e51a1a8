"""Which execution a delivery gets, and where an eager one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_graceful.execution.execution import Execution, execution_maker
from celery_graceful.execution.journal.atomic import AtomicExecution, AtomicOwnedExecution
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.model.run.cursor import Checkpoint

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

#: Where the execution of a delivery is kept on its request, for what Celery calls after ``run``.
EXECUTION = "graceful_execution"

#: Where eager runs stood when their retry was asked for; taken up by that retry.
_eager_retries: dict[str, Checkpoint] = {}


def carried(task: RunTask, *args: Any) -> OwnedExecution:
    """An execution whose run is kept in the store; arguments as :class:`OwnedExecution`."""
    kind = OwnedExecution if task.atomic is None else AtomicOwnedExecution
    return kind(task, *args)


def here(
    task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any], checkpoint: Checkpoint
) -> Execution:
    """An execution that runs to its end in this process, without a store.

    An eager retry goes on at the failed item all the same.
    """
    request = task.request
    make = execution_maker.get()
    execution = None if make is None else make(task, args, kwargs, checkpoint)
    if execution is None:
        execution = (Execution if task.atomic is None else AtomicExecution)(
            task, args, kwargs, checkpoint
        )
    kept = _eager_retries.pop(str(request.id), None) if request.is_eager else None
    if kept is not None and request.retries:
        execution.begin_at(kept)
    setattr(request, EXECUTION, execution)
    return execution


def keep_for_eager_retry(task: RunTask) -> None:
    """``Task.retry`` is about to run an eager task again."""
    execution = getattr(task.request, EXECUTION, None)
    if task.request.is_eager and isinstance(execution, Execution):
        _eager_retries[str(task.request.id)] = execution.to_retry


def forget_eager_retry(task: RunTask) -> None:
    """No retry is left."""
    _eager_retries.pop(str(task.request.id), None)
