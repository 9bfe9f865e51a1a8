"""From a delivery, through the loop, to whatever the execution ends with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from celery_graceful._celery.message.headers import node_of
from celery_graceful.execution import ending, leaving, results
from celery_graceful.execution.delivery import admission_of, process
from celery_graceful.execution.ending import crash_limit
from celery_graceful.execution.ending.last_error import last_error
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.here import execution_here
from celery_graceful.execution.leaving import retries
from celery_graceful.execution.loop import Interrupted, styles
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.execution.quarantine.replay import replay_of
from celery_graceful.execution.run_task import models_of
from celery_graceful.execution.stopping import base_exceptions
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run.record import Outcome
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.model.run_options import readable_options
from celery_graceful.runs.quarantined_items import REPLAY
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.stop import flag as stop_flag

if TYPE_CHECKING:
    from celery_graceful._celery.task.pydantic_models import Models
    from celery_graceful.execution.run_task import RunTask


def execute(task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run ``task`` as far as it gets here.

    Returns the result when the run is done. Leaves by ``Left`` when the run was interrupted or
    ended by an operator, by ``Returned`` when its message returns, and by what an item raises.
    """
    task.raise_faults()
    kwargs = dict(kwargs)
    checkpoint = Checkpoint(kwargs.pop("cursor", None), version=task.cursor_version)
    request = task.request
    flag = stop_flag.current(node_of(request))
    if request.called_directly or request.is_eager:
        return _run_here(execution_here(task, args, kwargs, checkpoint))
    if flag is None:
        process.warn_without_plugin(task)
        return _run_here(execution_here(task, args, kwargs, checkpoint))
    admission = admission_of(task, flag)
    ticket = admission.ticket
    assert ticket is not None
    try:
        saved = ticket.record.checkpoint
        if saved is None:
            saved = readable_options(ticket.record.options).cursor or None
        if saved is not None:
            checkpoint = decode(saved)
            if request.get(REPLAY):  # its cursor is a number of ours
                checkpoint = replace(checkpoint, version=task.cursor_version)
        run = OwnedRun(task, args, kwargs, checkpoint, ticket, flag, request, leaving.leave)
    except Exception as exc:
        ticket.end(
            Outcome.FAILED, error=last_error(exc)
        )  # it would fail again wherever it was resumed
        raise
    if admission.verdict is Verdict.RETURN_SAVED:
        return _return_saved(run)
    owned = partial(_run_owned, run, admission.verdict)
    return _in_context(run.execution, run.pacing.batch_size, owned)


def _in_context(
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


# -- here ------------------------------------------------------------------------------------


def _run_here(execution: Execution) -> Any:
    return _in_context(execution, None, partial(_run_to_its_end, execution))


def _run_to_its_end(execution: Execution) -> Any:
    try:
        execution.work.enter()
        result = _run_items(execution, _validated(execution))
        execution.check_committed()
        encode(execution.checkpoint)  # raises what a worker would
        execution.work.save_result(lambda: result)
    finally:
        execution.work.close()
    return result


# -- owned by a worker -----------------------------------------------------------------------


def _return_saved(run: OwnedRun) -> Any:
    """The run was done, but its worker died before Celery knew: say it again, run nothing."""
    run.open, run.returns_saved = False, True
    try:
        run.outcome = results.load(run.task, run.ticket.record.result or "")
    except Exception as exc:
        run.error = exc
        raise
    except BaseException as exc:  # the record names such a class
        run.error = base_exceptions.failure_of(str(run.key), exc)
        raise run.error from exc
    return run.outcome


def _run_owned(run: OwnedRun, verdict: Verdict) -> Any:
    try:
        _until_done(run.execution, run.enter)  # an execution may have to wait for its turn
        crash_limit.check(run, verdict)
        result = _result_of(run)
        run.execution.check_committed()
        ending.finish(run, result)
        return result
    except BaseException as exc:
        ending.fail(run, exc)
        if isinstance(exc, (Ignore, Reject, Retry)) and not run.left:
            retries.send(run)
        raise
    finally:
        run.close()


def _result_of(run: OwnedRun) -> Any:
    execution = run.execution
    models = _validated(execution)
    again = replay_of(run)
    if again is not None:
        return _until_done(execution, again.run)
    if execution.saved is not None:
        return results.load(run.task, execution.saved)
    return _run_items(execution, models)


# -- both ------------------------------------------------------------------------------------


def _validated(execution: Execution) -> Models | None:
    models = models_of(execution.task)
    if models is not None:
        execution.args, execution.kwargs = models.validate(execution.args, execution.kwargs)
    return models


def _run_items(execution: Execution, models: Models | None) -> Any:
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
    result = _until_done(execution, partial(styles.iterate, execution))
    if not execution.is_limited:  # else there may be more items
        informed(task.on_complete)(*args, **kwargs)
    if task.body is None:
        result = informed(task.result)(*args, **kwargs)
    return result if models is None else models.dump(result)


def _until_done(execution: Execution, call: Callable[[], Any]) -> Any:
    """Call again what was interrupted, as long as nobody else can have the run."""
    while True:
        try:
            return call()
        except Interrupted as stop:
            execution.leave(stop.reason)
