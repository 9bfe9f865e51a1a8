"""How a run ends in an execution: it failed, or all is done, before Celery stores the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from celery.exceptions import Ignore, Reject, Retry
from celery.utils.saferepr import saferepr

from celery_graceful._celery.task.delivery import Left, Returned
from celery_graceful.errors import CorruptRecord, CursorError, StoreError, StoreUnavailable
from celery_graceful.execution import leaving, results
from celery_graceful.execution.ending.last_error import last_error
from celery_graceful.execution.journal.code_changes import note_other_code, other_code
from celery_graceful.execution.leaving.ways_out import (
    drop_lost_run,
    forget_replayed,
    lasted_seconds,
    log,
    release_at_kill,
    return_message,
)
from celery_graceful.execution.owned import OwnedRun, owned_run
from celery_graceful.execution.run_task import RunTask
from celery_graceful.execution.stopping import limits
from celery_graceful.execution.stopping.base_exceptions import (
    failure_of,
    is_greenlet_exit,
    is_stop,
)
from celery_graceful.execution.stopping.stop_hooks import no_longer_cut
from celery_graceful.model.run.cursor import encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, Request
from celery_graceful.model.run.verdict import Verdict

logger = logging.getLogger("celery_graceful.runs")


# -- failed ----------------------------------------------------------------------------------


def fail(run: OwnedRun, exc: BaseException) -> None:
    """An item, the enumerator or a hook raised: save what is done, before Celery takes over.

    Returns when ``exc`` is to reach Celery, or to whoever stops the process.

    Raises:
        BaseExceptionRaised: in place of what is no :exc:`Exception`, if the task raised it.
        Left, Returned: the run is not this execution's any more, or its message goes back.
    """
    if not isinstance(exc, Exception):
        _fail_or_let_go(run, exc)
    elif not run.left:
        _save_failure(run, exc)
    elif not isinstance(exc, (Ignore, Reject, Retry)):
        _not_its_failure(run, exc)


def _fail_or_let_go(run: OwnedRun, exc: BaseException) -> None:
    if is_stop(exc, run.flag, run.request):
        release_at_kill(run)
        if is_greenlet_exit(exc):
            raise Returned("its greenlet was killed at a stop") from exc
        return
    if run.left:
        _not_its_failure(run, exc)
    if not _stands(run):  # revoked, say, and its greenlet killed for that
        drop_lost_run(run)
    failure = failure_of(str(run.key), exc)
    _save_failure(run, failure)
    raise failure from exc


def _stands(run: OwnedRun) -> bool:
    try:
        return run.ticket.stands()
    except StoreError:  # whoever saves the failure waits for the store
        return True


def _not_its_failure(run: OwnedRun, exc: BaseException) -> NoReturn:
    """The run was saved for another execution, or ended, before ``exc`` was raised."""
    logger.error(
        "%s has left this execution (%s), so this is not its failure",
        run.key,
        run.ticket.record.state,
        exc_info=exc,
    )
    raise Left("left this execution") from exc


def _save_failure(run: OwnedRun, exc: Exception) -> None:
    no_longer_cut(run.request)
    run.report.stop()
    execution = run.execution
    if not isinstance(exc, (Ignore, Reject)):
        run.last_error = last_error(exc)
    if not isinstance(exc, (Ignore, Reject, Retry)):
        _note_other_code(run, exc)
    execution.work.undo()
    run.report.settle()  # which waits for what waits for a lock of an open batch on SQLite
    if execution.steps > execution.began_at[0]:
        run.request.update(retries=0)  # progress gives the retry budget back
    text, steps = _last_good_checkpoint(run)
    _saved(run, exc, partial(_save_what_follows, run, exc, text, steps))


def _note_other_code(run: OwnedRun, exc: Exception) -> None:
    """Say so if the first thing that a resumed execution did with another code's cursor failed."""
    execution = run.execution
    if not execution.resumed or not execution.is_at_start or not execution.code_then:
        return
    now = other_code(run.task, execution.code_then)
    if now:
        note = note_other_code(exc, execution.cursor, execution.code_then, now)
        log(logging.WARNING, run, "fails with %s. %s", saferepr(exc, maxlen=200), note)


def _save_what_follows(run: OwnedRun, exc: Exception, text: str | None, steps: int) -> None:
    """Save what becomes of a run whose execution raised ``exc``."""
    ticket, work = run.ticket, run.execution.work
    if isinstance(exc, Ignore):
        ticket.end(Outcome.COMPLETED)
        work.forget()
    elif isinstance(exc, Reject) and exc.requeue:  # type: ignore[attr-defined]
        ticket.hand_over(text, steps, "rejected", successor=False)
    elif isinstance(exc, Reject):
        if ticket.end(Outcome.FAILED).verdict is Verdict.REFUSED:
            drop_lost_run(run)
        work.forget()
    elif not limits.will_autoretry(run.task, exc):
        _save_error(run, exc, text, steps)
    elif text is not None:
        if not ticket.save(text, steps).accepted:
            drop_lost_run(run)
        if ticket.record.requested is Request.CANCEL:
            leaving.leave(run, StopReason.CANCELLED)


def _saved(run: OwnedRun, exc: Exception, save: Callable[[], None]) -> None:
    try:
        save()
    except StoreUnavailable as trouble:
        return_message(run, f"fails with {saferepr(exc, maxlen=200)}", trouble)
    except StoreError as trouble:
        what = "fails with %s, and the store does not know: %s"
        log(logging.ERROR, run, what, saferepr(exc, maxlen=200), trouble)


def _save_error(run: OwnedRun, exc: Exception, text: str | None, steps: int) -> None:
    run.error = exc
    if run.task.max_failed_items:
        run.ticket.forget_unsaved_quarantined(steps)  # they run again, if it is started anew
    if run.brief:
        return
    saved = results.dump_error(run.task, exc)
    decision = run.ticket.finish(text, steps, saved, Outcome.FAILED, run.last_error)
    if decision.verdict is Verdict.REFUSED:
        drop_lost_run(run)


def _last_good_checkpoint(run: OwnedRun) -> tuple[str | None, int]:
    try:
        return encode(run.execution.checkpoint), run.execution.steps
    except CursorError:  # it is what the execution fails with; the one before still stands
        return run.ticket.record.checkpoint, run.ticket.record.steps


# -- what a retry would only meet again -------------------------------------------------------


def raise_if_final(task: RunTask, exc: Exception | None) -> None:
    """An error that a retry would only meet again is not retried, nor is a message returned."""
    if isinstance(exc, Reject):  # ``autoretry_for = (Exception,)`` would take it for an error
        raise exc
    run = owned_run(task.request)
    if run is None or exc is None:
        return
    if run.returns_saved or isinstance(exc, limits.FINAL_ERRORS):
        raise exc


def note_final_error(task: RunTask, exc: Exception) -> None:
    """``Task.retry`` raised something else than Retry: no retry is left, ``exc`` is the outcome."""
    run = owned_run(task.request)
    if isinstance(exc, (Retry, Reject, Ignore)) or run is None:
        return
    if not run.open and not run.returns_saved:
        text, steps = _last_good_checkpoint(run)
        _saved(run, exc, partial(_save_error, run, exc, text, steps))


# -- done ------------------------------------------------------------------------------------


def finish(run: OwnedRun, result: object) -> None:
    """Save the result, before Celery stores it and fires callbacks."""
    no_longer_cut(run.request)
    # The open batch is committed before the wait: a PROGRESS on its way into the same SQLite file
    # waits for its lock.
    run.report.stop()
    saved_result = run.execution.work.save_result(
        lambda: results.kept(run.task, run.request, result)
    )
    run.report.settle()
    if not saved_result:
        drop_lost_run(run)
    run.outcome = result
    if run.brief:
        return
    saved = results.kept(run.task, run.request, result)
    text, steps = _last_good_checkpoint(run)
    try:
        if saved is None:  # Celery decides what comes of that
            if text is not None and not run.ticket.save(text, steps).accepted:
                drop_lost_run(run)
            return
        decision = run.ticket.finish(text, steps, saved, Outcome.COMPLETED)
    except StoreError as exc:
        if isinstance(exc, CorruptRecord):
            raise
        return_message(run, "is done", exc)
    if decision.verdict is Verdict.REFUSED:
        drop_lost_run(run)


def close(run: OwnedRun, outcome: Outcome) -> None:
    """Celery has stored the outcome: the run has ended."""
    text, steps = _last_good_checkpoint(run)
    forget_replayed(run)
    items = bool(run.task.max_failed_items)
    record = run.ticket.record
    # A short run has one execution, and its record grows by nothing.
    took = lasted_seconds(run) if record.seconds or record.options else 0.0
    error = run.last_error if outcome is Outcome.FAILED else ""
    ended = run.ticket.end(outcome, text, steps, items=items, took=took, error=error)
    if ended.verdict is not Verdict.REFUSED:
        run.execution.work.forget()
