"""How a run ends in a leg: it failed, or all is done, and Celery is to be told."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from celery.exceptions import Ignore, Reject
from celery.utils.saferepr import saferepr

from celery_graceful._celery.delivery import Left, Returned
from celery_graceful.errors import CorruptRecord, CursorError, StoreError, StoreUnavailable
from celery_graceful.model.cursor import encode
from celery_graceful.model.decide import Verdict
from celery_graceful.model.reasons import StopReason
from celery_graceful.model.record import Outcome, Request
from celery_graceful.tasks import limits, results
from celery_graceful.tasks.attended import no_longer_cut
from celery_graceful.tasks.base_exceptions import failure_of, is_greenlet_exit, is_stop
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.exits import abandon, forget_replayed, give_way, go_back, leave, log

__all__ = ["close", "fail", "fail_for_good", "fail_or_let_go", "finish", "not_its_failure"]

logger = logging.getLogger("celery_graceful.runs")


# -- failed ----------------------------------------------------------------------------------


def fail(leg: CarriedLeg, exc: Exception) -> None:
    """An item, the enumerator or a hook raised: save what is done, before Celery takes over."""
    no_longer_cut(leg.request)
    leg.report.settle()
    leg.undo()
    if leg.steps > leg.began_at[0]:
        leg.request.update(retries=0)  # progress gives the retry budget back
    text, steps = _last_good_checkpoint(leg)
    try:
        _save_failure(leg, exc, text, steps)
    except StoreUnavailable as trouble:
        go_back(leg, f"fails with {saferepr(exc, maxlen=200)}", trouble)
    except StoreError as trouble:
        _say_unknown(leg, exc, trouble)


def _say_unknown(leg: CarriedLeg, exc: Exception, trouble: StoreError) -> None:
    what = "fails with %s, and the store does not know: %s"
    log(logging.ERROR, leg, what, saferepr(exc, maxlen=200), trouble)


def _save_failure(leg: CarriedLeg, exc: Exception, text: str | None, steps: int) -> None:
    if isinstance(exc, Ignore):
        leg.ticket.end(Outcome.COMPLETED)
        leg.forget()
    elif isinstance(exc, Reject) and exc.requeue:  # type: ignore[attr-defined]
        leg.ticket.hand_over(text, steps, "rejected", successor=False)
    elif isinstance(exc, Reject):
        if leg.ticket.end(Outcome.FAILED).verdict is Verdict.REFUSED:
            give_way(leg)
        leg.forget()
    elif not limits.will_autoretry(leg.task, exc):
        _save_error(leg, exc, text, steps)
    elif text is not None:
        if not leg.ticket.save(text, steps).accepted:
            give_way(leg)
        if leg.ticket.record.requested is Request.CANCEL:
            leave(leg, StopReason.CANCELLED)


def fail_for_good(leg: CarriedLeg, exc: Exception) -> None:
    """The last retry is spent: save the final error."""
    text, steps = _last_good_checkpoint(leg)
    try:
        _save_error(leg, exc, text, steps)
    except StoreUnavailable as trouble:
        go_back(leg, f"fails with {saferepr(exc, maxlen=200)}", trouble)
    except StoreError as trouble:
        _say_unknown(leg, exc, trouble)


def _save_error(leg: CarriedLeg, exc: Exception, text: str | None, steps: int) -> None:
    leg.error = exc
    if leg.task.max_item_errors:
        leg.ticket.forget_unsaved_aside(steps)  # they run again, if the task is started anew
    if leg.brief:
        return
    saved = results.dump_error(leg.task, exc)
    decision = leg.ticket.finish(text, steps, saved, Outcome.FAILED)
    if decision.verdict is Verdict.REFUSED:
        give_way(leg)


def _last_good_checkpoint(leg: CarriedLeg) -> tuple[str | None, int]:
    try:
        return encode(leg.checkpoint), leg.steps
    except CursorError:  # it is what the leg fails with; the one before still stands
        return leg.ticket.record.checkpoint, leg.ticket.record.steps


# -- something that is no Exception ---------------------------------------------------------


def fail_or_let_go(leg: CarriedLeg, exc: BaseException) -> None:
    """Returns when a stop has raised ``exc``: it goes on to whoever stops the process.

    Raises:
        BaseExceptionRaised: the task's own code has raised it.
        Left, Returned: the run is not this execution's any more, or its message goes back.
    """
    if is_stop(exc, leg.flag, leg.request):
        abandon(leg)
        if is_greenlet_exit(exc):
            raise Returned("its greenlet was killed at a stop") from exc
        return
    if leg.left:
        not_its_failure(leg, exc)
    if not _stands(leg):  # revoked, say, and its greenlet killed for that
        give_way(leg)
    failure = failure_of(str(leg.ticket.run), exc)
    fail(leg, failure)
    raise failure from exc


def _stands(leg: CarriedLeg) -> bool:
    try:
        return leg.ticket.stands()
    except StoreError:  # whoever saves the failure waits for the store
        return True


def not_its_failure(leg: CarriedLeg, exc: BaseException) -> NoReturn:
    """The run was saved for another execution, or taken out, before ``exc`` was raised."""
    logger.error(
        "%s has left this execution (%s), so this is not its failure",
        leg.ticket.run,
        leg.ticket.record.state,
        exc_info=exc,
    )
    raise Left("left this execution") from exc


# -- done ----------------------------------------------------------------------------------


def finish(leg: CarriedLeg, result: Any) -> None:
    """Save the result, before Celery stores it and fires callbacks."""
    no_longer_cut(leg.request)
    leg.report.settle()
    if not leg.save_result(result):
        give_way(leg)
    leg.outcome = result
    if leg.brief:
        return
    saved = results.kept(leg.task, leg.request, result)
    text, steps = _last_good_checkpoint(leg)
    try:
        if saved is None:
            _save_end(leg, text, steps)
            return
        decision = leg.ticket.finish(text, steps, saved, Outcome.COMPLETED)
    except StoreError as exc:
        if isinstance(exc, CorruptRecord):
            raise
        go_back(leg, "is done", exc)
    if decision.verdict is Verdict.REFUSED:
        give_way(leg)


def _save_end(leg: CarriedLeg, text: str | None, steps: int) -> None:
    """Save that all items are done, where the result cannot be: Celery says what comes of that."""
    if text is not None and not leg.ticket.save(text, steps).accepted:
        give_way(leg)


def close(leg: CarriedLeg, outcome: Outcome) -> None:
    """Celery has stored the outcome: the run has ended."""
    text, steps = _last_good_checkpoint(leg)
    forget_replayed(leg)
    items = bool(leg.task.max_item_errors)
    if leg.ticket.end(outcome, text, steps, items=items).verdict is not Verdict.REFUSED:
        leg.forget()
