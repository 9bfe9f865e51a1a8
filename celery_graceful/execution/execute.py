"""From a delivery, through the loop, to whatever the execution ends with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from celery_graceful._celery.message.headers import node_of
from celery_graceful.execution import ending, leaving, results
from celery_graceful.execution.delivery import admission_of, process
from celery_graceful.execution.ending import crash_limit
from celery_graceful.execution.ending.last_error import last_error
from celery_graceful.execution.here import run_here
from celery_graceful.execution.leaving import retries
from celery_graceful.execution.loop.hooks_and_items import (
    in_context,
    run_items,
    until_done,
    validated,
)
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.execution.quarantine.replay import replay_of
from celery_graceful.execution.stopping import base_exceptions
from celery_graceful.model.run.cursor import Checkpoint, decode
from celery_graceful.model.run.record import Outcome
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.model.run_options import readable_options
from celery_graceful.runs.quarantined_items import REPLAY
from celery_graceful.runs.ticket import Ticket
from celery_graceful.stop import flag as stop_flag

if TYPE_CHECKING:
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
    if request.called_directly or request.is_eager:
        return run_here(task, args, kwargs, checkpoint)
    flag = stop_flag.current(node_of(request))
    if flag is None:
        process.warn_without_plugin(task)
        return run_here(task, args, kwargs, checkpoint)
    admission = admission_of(task, flag)
    ticket = admission.ticket
    assert ticket is not None
    try:
        checkpoint = _begins_at(ticket, request, checkpoint)
        run = OwnedRun(task, args, kwargs, checkpoint, ticket, flag, request, leaving.leave)
    except Exception as exc:  # it would fail again wherever it was resumed
        ticket.end(Outcome.FAILED, error=last_error(exc))
        raise
    if admission.verdict is Verdict.RETURN_SAVED:
        return _return_saved(run)
    owned = partial(_run_owned, run, admission.verdict)
    return in_context(run.execution, run.pacing.batch_size, owned)


def _begins_at(ticket: Ticket, request: Any, given: Checkpoint) -> Checkpoint:
    """Where a run begins here: as it was saved, else as it was started, else as its call says."""
    saved = ticket.record.checkpoint
    if saved is None:
        saved = readable_options(ticket.record.options).cursor or None
    if saved is None:
        return given
    checkpoint = decode(saved)
    # The cursor of a replay is a number of ours.
    return replace(checkpoint, version=given.version) if request.get(REPLAY) else checkpoint


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
        until_done(run.execution, run.enter)  # an execution may have to wait for its turn
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
    models = validated(execution)
    again = replay_of(run)
    if again is not None:
        return until_done(execution, again.run)
    if execution.saved is not None:
        return results.load(run.task, execution.saved)
    return run_items(execution, models)
