"""How a run ends in an execution: it failed, or all is done, and Celery is to be told."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from celery.exceptions import Ignore, Reject
from celery.utils.saferepr import saferepr

from celery_graceful._celery.task.delivery import Left, Returned
from celery_graceful.errors import CorruptRecord, CursorError, StoreError, StoreUnavailable
from celery_graceful.execution import results
from celery_graceful.execution.leaving import (
    abandon,
    forget_replayed,
    give_way,
    go_back,
    leave,
    log,
)
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.execution.stopping import limits
from celery_graceful.execution.stopping.base_exceptions import failure_of, is_greenlet_exit, is_stop
from celery_graceful.execution.stopping.stop_hooks import no_longer_cut
from celery_graceful.model.run.cursor import encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, Request
from celery_graceful.model.run.verdict import Verdict

logger = logging.getLogger("celery_graceful.runs")


# -- failed ----------------------------------------------------------------------------------


def fail(execution: OwnedExecution, exc: Exception) -> None:
    """An item, the enumerator or a hook raised: save what is done, before Celery takes over."""
    no_longer_cut(execution.request)
    execution.report.settle()
    execution.undo()
    if execution.steps > execution.began_at[0]:
        execution.request.update(retries=0)  # progress gives the retry budget back
    text, steps = _last_good_checkpoint(execution)
    try:
        _save_failure(execution, exc, text, steps)
    except StoreUnavailable as trouble:
        go_back(execution, f"fails with {saferepr(exc, maxlen=200)}", trouble)
    except StoreError as trouble:
        _say_unknown(execution, exc, trouble)


def _say_unknown(execution: OwnedExecution, exc: Exception, trouble: StoreError) -> None:
    what = "fails with %s, and the store does not know: %s"
    log(logging.ERROR, execution, what, saferepr(exc, maxlen=200), trouble)


def _save_failure(execution: OwnedExecution, exc: Exception, text: str | None, steps: int) -> None:
    if isinstance(exc, Ignore):
        execution.ticket.end(Outcome.COMPLETED)
        execution.forget()
    elif isinstance(exc, Reject) and exc.requeue:  # type: ignore[attr-defined]
        execution.ticket.hand_over(text, steps, "rejected", successor=False)
    elif isinstance(exc, Reject):
        if execution.ticket.end(Outcome.FAILED).verdict is Verdict.REFUSED:
            give_way(execution)
        execution.forget()
    elif not limits.will_autoretry(execution.task, exc):
        _save_error(execution, exc, text, steps)
    elif text is not None:
        if not execution.ticket.save(text, steps).accepted:
            give_way(execution)
        if execution.ticket.record.requested is Request.CANCEL:
            leave(execution, StopReason.CANCELLED)


def fail_for_good(execution: OwnedExecution, exc: Exception) -> None:
    """The last retry is spent: save the final error."""
    text, steps = _last_good_checkpoint(execution)
    try:
        _save_error(execution, exc, text, steps)
    except StoreUnavailable as trouble:
        go_back(execution, f"fails with {saferepr(exc, maxlen=200)}", trouble)
    except StoreError as trouble:
        _say_unknown(execution, exc, trouble)


def _save_error(execution: OwnedExecution, exc: Exception, text: str | None, steps: int) -> None:
    execution.error = exc
    if execution.task.max_failed_items:
        execution.ticket.forget_unsaved_quarantined(
            steps
        )  # they run again, if the task is started anew
    if execution.brief:
        return
    saved = results.dump_error(execution.task, exc)
    decision = execution.ticket.finish(text, steps, saved, Outcome.FAILED)
    if decision.verdict is Verdict.REFUSED:
        give_way(execution)


def _last_good_checkpoint(execution: OwnedExecution) -> tuple[str | None, int]:
    try:
        return encode(execution.checkpoint), execution.steps
    except CursorError:  # it is what the execution fails with; the one before still stands
        return execution.ticket.record.checkpoint, execution.ticket.record.steps


# -- something that is no Exception ---------------------------------------------------------


def fail_or_let_go(execution: OwnedExecution, exc: BaseException) -> None:
    """Returns when a stop has raised ``exc``: it goes on to whoever stops the process.

    Raises:
        BaseExceptionRaised: the task's own code has raised it.
        Left, Returned: the run is not this execution's any more, or its message goes back.
    """
    if is_stop(exc, execution.flag, execution.request):
        abandon(execution)
        if is_greenlet_exit(exc):
            raise Returned("its greenlet was killed at a stop") from exc
        return
    if execution.left:
        not_its_failure(execution, exc)
    if not _stands(execution):  # revoked, say, and its greenlet killed for that
        give_way(execution)
    failure = failure_of(str(execution.ticket.run), exc)
    fail(execution, failure)
    raise failure from exc


def _stands(execution: OwnedExecution) -> bool:
    try:
        return execution.ticket.stands()
    except StoreError:  # whoever saves the failure waits for the store
        return True


def not_its_failure(execution: OwnedExecution, exc: BaseException) -> NoReturn:
    """The run was saved for another execution, or taken out, before ``exc`` was raised."""
    logger.error(
        "%s has left this execution (%s), so this is not its failure",
        execution.ticket.run,
        execution.ticket.record.state,
        exc_info=exc,
    )
    raise Left("left this execution") from exc


# -- done ----------------------------------------------------------------------------------


def finish(execution: OwnedExecution, result: Any) -> None:
    """Save the result, before Celery stores it and fires callbacks."""
    no_longer_cut(execution.request)
    execution.report.settle()
    if not execution.save_result(result):
        give_way(execution)
    execution.outcome = result
    if execution.brief:
        return
    saved = results.kept(execution.task, execution.request, result)
    text, steps = _last_good_checkpoint(execution)
    try:
        if saved is None:
            _save_end(execution, text, steps)
            return
        decision = execution.ticket.finish(text, steps, saved, Outcome.COMPLETED)
    except StoreError as exc:
        if isinstance(exc, CorruptRecord):
            raise
        go_back(execution, "is done", exc)
    if decision.verdict is Verdict.REFUSED:
        give_way(execution)


def _save_end(execution: OwnedExecution, text: str | None, steps: int) -> None:
    """Save that all items are done, where the result cannot be: Celery says what comes of that."""
    if text is not None and not execution.ticket.save(text, steps).accepted:
        give_way(execution)


def close(execution: OwnedExecution, outcome: Outcome) -> None:
    """Celery has stored the outcome: the run has ended."""
    text, steps = _last_good_checkpoint(execution)
    forget_replayed(execution)
    items = bool(execution.task.max_failed_items)
    if execution.ticket.end(outcome, text, steps, items=items).verdict is not Verdict.REFUSED:
        execution.forget()
