"""Executions without a worker's store and stop: eager runs, direct calls, no plugin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from celery_graceful._celery.message.headers import STARTED_WITH
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.journal import ItemWork
from celery_graceful.execution.journal.atomic_work import AtomicWork
from celery_graceful.execution.journal.null import NullJournal, PlainWork
from celery_graceful.execution.loop import Interrupted
from celery_graceful.execution.loop.current import execution_maker
from celery_graceful.execution.loop.hooks_and_items import in_context, run_items, validated
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run_options import readable_options

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

#: Where the execution is kept on its request, for an eager retry.
_EXECUTION = "graceful_execution"

#: Where eager runs stood when their retry was asked for; continued by that retry.
_eager_retries: dict[str, Checkpoint] = {}


def run_here(
    task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any], checkpoint: Checkpoint
) -> Any:
    """Run a task to its end in this process, and return its result."""
    execution = execution_here(task, args, kwargs, checkpoint)
    return in_context(execution, None, partial(_run_to_its_end, execution))


def _run_to_its_end(execution: Execution) -> Any:
    try:
        execution.work.enter()
        result = run_items(execution, validated(execution))
        execution.check_committed()
        encode(execution.checkpoint)  # raises what a worker would
        execution.work.save_result(lambda: result)
    finally:
        execution.work.close()
    return result


def execution_here(
    task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any], checkpoint: Checkpoint
) -> Execution:
    """An execution that runs to its end in this process.

    An eager retry continues at the failed item all the same.
    """
    request = task.request
    make = execution_maker.get()
    execution: Execution | None = None if make is None else make(task, args, kwargs, checkpoint)
    if execution is None:
        execution = Execution(task, args, kwargs, checkpoint)
        execution.attach(NullJournal(execution), work_here(execution), _cannot_leave)
        asked = (request.headers or {}).get(STARTED_WITH)
        if isinstance(asked, str):
            execution.ask(readable_options(asked))
    kept = _eager_retries.pop(str(request.id), None) if request.is_eager else None
    if kept is not None and request.retries:
        execution.begin_at(kept)
    setattr(request, _EXECUTION, execution)
    return execution


def work_here(execution: Execution) -> ItemWork:
    """What deals with the work of an execution's items, without a row of the run."""
    task = execution.task
    if task.atomic is None:
        return PlainWork(task.name)
    return AtomicWork(execution, task.atomic, None)


def _cannot_leave(reason: str) -> NoReturn:
    raise Interrupted(reason)  # nothing asks this kind of execution to leave


def keep_for_eager_retry(task: RunTask) -> None:
    """``Task.retry`` is about to run an eager task again."""
    request = task.request
    execution: Execution | None = getattr(request, _EXECUTION, None)
    if request.is_eager and execution is not None:
        _eager_retries[str(request.id)] = execution.work.kept or execution.checkpoint_within


def forget_eager_retry(task: RunTask) -> None:
    """No retry is left."""
    _eager_retries.pop(str(task.request.id), None)
