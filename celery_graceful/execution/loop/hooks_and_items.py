"""A task's hooks and items, from where its execution stands to the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop import Interrupted, styles
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.execution.run_task import models_of
from celery_graceful.sources.basic import batch_sizer

if TYPE_CHECKING:
    from celery_graceful._celery.task.pydantic_models import Models


def in_context(
    execution: Execution, batch_size: Callable[[int], int] | None, call: Callable[[], Any]
) -> Any:
    """Call what runs the items, where users and sources find the execution."""
    token, sizer = current_execution.set(execution), batch_sizer.set(batch_size)
    try:
        execution.open_work.begin()
        return call()
    except Interrupted as stop:  # only from a hook that looked by itself
        raise RuntimeError(f"interrupted outside of the loop: {stop.reason}") from stop
    finally:
        batch_sizer.reset(sizer)
        current_execution.reset(token)


def validated(execution: Execution) -> Models | None:
    """Validate its arguments, where the task has models of Pydantic; returns these."""
    models = models_of(execution.task)
    if models is not None:
        execution.args, execution.kwargs = models.validate(execution.args, execution.kwargs)
    return models


def run_items(execution: Execution, models: Models | None) -> Any:
    """The task's hooks and items, from where the execution stands to the result."""
    try:
        return _run_prepared(execution, models)
    except Exception as exc:
        clearer = execution.work.explained(exc)
        if clearer is None:
            raise
        raise clearer from exc


def _run_prepared(execution: Execution, models: Models | None) -> Any:
    task, args, kwargs = execution.task, execution.args, execution.kwargs
    execution.work.prepare()
    informed = execution.informed
    informed(task.on_resume if execution.resumed else task.on_start)(*args, **kwargs)
    if execution.total is None and (execution.is_migrated or not execution.resumed):
        execution.total = informed(task.count)(*args, **kwargs)
    result = until_done(execution, partial(styles.iterate, execution))
    if not execution.is_limited:  # else there may be more items
        informed(task.on_complete)(*args, **kwargs)
    if task.body is None:
        result = informed(task.result)(*args, **kwargs)
    return result if models is None else models.dump(result)


def until_done(execution: Execution, call: Callable[[], Any]) -> Any:
    """Call again what was interrupted, as long as nobody else can have the run."""
    while True:
        try:
            return call()
        except Interrupted as stop:
            execution.leave(stop.reason)
