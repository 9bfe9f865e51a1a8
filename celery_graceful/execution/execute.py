"""Carrying a run: from a delivery, through the loop, to whatever the execution ends with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from celery_graceful.execution import ending, leaving, making, process, results
from celery_graceful.execution.current import current_execution
from celery_graceful.execution.delivery_admission import admission_of
from celery_graceful.execution.ending import crash_limit
from celery_graceful.execution.execution import Execution, Interrupted
from celery_graceful.execution.leaving import retries
from celery_graceful.execution.loop import styles
from celery_graceful.execution.making import EXECUTION
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.execution.quarantine.replay import replay_of
from celery_graceful.execution.run_task import models_of
from celery_graceful.execution.stopping import base_exceptions
from celery_graceful.model.run.cursor import Checkpoint, decode
from celery_graceful.model.run.record import Outcome
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.admit import Admission
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.stop import flag as stop_flag

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")

_NOT_SEEDED = object()


def execute(task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run ``task`` as far as it gets here.

    Returns the result when the run is done. Leaves by ``Left`` when it was handed over or dropped,
    by ``Returned`` when the broker is to keep the message, and by whatever an item raises.
    """
    task.raise_faults()
    kwargs = dict(kwargs)
    seed = kwargs.pop("cursor", _NOT_SEEDED)
    request = task.request
    flag = stop_flag.current()
    if request.called_directly or request.is_eager or flag is None:
        if flag is None and not (request.called_directly or request.is_eager):
            process.warn_without_plugin(task)
        return _run(making.here(task, args, kwargs, _seeded(seed)))
    return _carry(task, args, kwargs, _seeded(seed), flag)


def _seeded(seed: Any) -> Checkpoint:
    return Checkpoint() if seed is _NOT_SEEDED else Checkpoint(cursor=seed)


def _carry(
    task: RunTask,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    seeded: Checkpoint,
    flag: stop_flag.StopFlag,
) -> Any:
    request = task.request
    admission = admission_of(task, flag)
    ticket = admission.ticket
    assert ticket is not None
    try:
        saved = ticket.record.checkpoint
        checkpoint = seeded if saved is None else decode(saved)
        execution = making.carried(task, args, kwargs, checkpoint, ticket, flag, request)
    except Exception:
        ticket.end(Outcome.FAILED)  # it would fail again wherever it was taken up
        raise
    setattr(request, EXECUTION, execution)
    if admission.verdict is Verdict.RETURN_SAVED:
        return _return_saved(execution)
    return _run(execution, admission)


def _return_saved(execution: OwnedExecution) -> Any:
    """The run was done, but its worker died before Celery knew: say it again, run nothing."""
    execution.open, execution.returns_saved = False, True
    try:
        execution.outcome = results.load(execution.task, execution.ticket.record.result or "")
    except Exception as exc:
        execution.error = exc
        raise
    except BaseException as exc:  # the record names such a class
        execution.error = base_exceptions.failure_of(str(execution.ticket.run), exc)
        raise execution.error from exc
    return execution.outcome


def _run(execution: Execution, admission: Admission | None = None) -> Any:
    token = current_execution.set(execution)
    execution.open_work.begin()
    sizer = batch_sizer.set(
        execution.pacing.batch_size if isinstance(execution, OwnedExecution) else None
    )
    try:
        return _loop(execution, admission)
    except Interrupted as stop:  # only from a hook that looked by itself
        raise RuntimeError(f"interrupted outside of the loop: {stop.reason}") from stop
    finally:
        execution.close()
        batch_sizer.reset(sizer)
        current_execution.reset(token)


def _loop(execution: Execution, admission: Admission | None) -> Any:
    carried = execution if isinstance(execution, OwnedExecution) else None
    try:
        _enter(execution, carried)
        if carried is not None and _is_given_up(admission):
            crash_limit.give_up(carried)
        if carried is not None and _has_lost_checkpoint(carried, admission):
            crash_limit.fail_without_checkpoint(carried)
        return _through(execution, carried)
    except (Ignore, Reject, Retry) as exc:
        if carried is not None and not carried.left:
            ending.fail(carried, exc)
            retries.send(carried)
        raise
    except Exception as exc:
        if carried is not None and carried.left:
            ending.not_its_failure(carried, exc)
        if carried is not None:
            ending.fail(carried, exc)
        raise
    except BaseException as exc:
        if carried is not None:
            ending.fail_or_let_go(carried, exc)
        raise


def _is_given_up(admission: Admission | None) -> bool:
    return admission is not None and admission.verdict is Verdict.GIVE_UP


def _has_lost_checkpoint(execution: OwnedExecution, admission: Admission | None) -> bool:
    """Whether nobody knows any more how far the run was; the row of an atomic one may."""
    return admission is not None and admission.verdict is Verdict.LOST and not execution.resumed


def _enter(execution: Execution, carried: OwnedExecution | None) -> None:
    while True:
        try:
            return execution.enter()
        except Interrupted as stop:  # of an execution that waits for its turn
            assert carried is not None
            leaving.leave(carried, stop.reason)


def _through(execution: Execution, carried: OwnedExecution | None) -> Any:
    models = models_of(execution.task)
    if models is not None:
        execution.args, execution.kwargs = models.validate(execution.args, execution.kwargs)
    again = None if carried is None else replay_of(carried)
    if again is not None and carried is not None:
        result = _iterate(execution, carried, again.run)
        execution.check_committed()
        ending.finish(carried, result)
        return result
    task, args, kwargs = execution.task, execution.args, execution.kwargs
    if execution.saved is not None and carried is not None:
        result = results.load(task, execution.saved)
        ending.finish(carried, result)
        return result
    (task.on_resume if execution.resumed else task.on_start)(*args, **kwargs)
    if execution.total is None and not execution.resumed:
        execution.total = task.count(*args, **kwargs)
    result = _iterate(execution, carried, lambda: styles.iterate(execution))
    task.on_complete(*args, **kwargs)
    if task.body is None:
        result = task.result(*args, **kwargs)
    if models is not None:
        result = models.dump(result)
    execution.check_committed()
    if carried is not None:
        ending.finish(carried, result)
    else:
        execution.check_saveable()
        execution.save_result(result)
    return result


def _iterate(
    execution: Execution, carried: OwnedExecution | None, iterate: Callable[[], Any]
) -> Any:
    while True:
        try:
            return iterate()
        except Interrupted as stop:
            if carried is None:
                execution.leave(stop.reason)
            else:
                leaving.leave(carried, stop.reason)
