"""Handing a run over: the store lets go of it, the broker takes its successor's message."""

from __future__ import annotations

import logging
from functools import partial

from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from celery_graceful import signals
from celery_graceful._celery.task.delivery import Left, Stores, limit_stores, stores_limited
from celery_graceful.errors import (
    CorruptRecord,
    CursorError,
    PublishUncertain,
    StoreError,
    Unroutable,
)
from celery_graceful.execution.journal import cursor_part
from celery_graceful.execution.leaving.late_checkpoints import save_later
from celery_graceful.execution.leaving.ways_out import (
    drop_lost_run,
    lasted,
    lasted_seconds,
    log,
    return_message,
)
from celery_graceful.execution.owned import OwnedRun
from celery_graceful.execution.stopping.base_exceptions import is_stop
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.verdict import Decision, Verdict

#: Executions in a row that may process items and end where they began.
MAX_STALLS = 2


def hand_over(run: OwnedRun, reason: str, *, successor: bool, sent: bool) -> Decision:
    """Save the last checkpoint, and let go of the run.

    Args:
        reason: why it is left.
        successor: whether a message is to be sent that continues it.
        sent: whether such a message may be on its way already.
    """
    execution, ticket = run.execution, run.ticket
    text = encode(execution.checkpoint)
    stalls = _stalls(run, text)
    bounds = execution.bounds
    pauses = ""
    if reason == StopReason.PAUSED:
        pauses = execution.not_migrated or (bounds.pauses if bounds is not None else "")
    # What an operator wants has to reach the store; a run that pauses itself does so again.
    asked = reason in (StopReason.PAUSED, StopReason.CANCELLED) and not pauses
    without = successor and not sent and not asked
    try:
        decision = ticket.hand_over(
            text,
            execution.steps,
            pauses or reason,
            successor=successor,
            stalls=stalls,
            pauses=bool(pauses),
            took=lasted_seconds(run),
            patience=partial(_is_enough, run) if without else None,
        )
    except StoreError as exc:
        try:
            if without and not isinstance(exc, CorruptRecord) and run.journal.outage.may_leave:
                leave_without_store(run, reason)
        except PublishUncertain:
            sent = True
        if sent:  # the message in hand would compete with it; if it was lost, the run is rescued
            run.left = True
            raise Left(reason) from exc
        return_message(run, f"stops ({reason})", exc)
    if decision.verdict is Verdict.REFUSED:
        drop_lost_run(run)
    return decision


def _is_enough(run: OwnedRun, waited: float) -> bool:
    """Whether a stop has waited long enough for the store."""
    patience = run.ticket.patience
    over = patience(waited) if callable(patience) else waited >= patience
    return over or run.journal.outage.ends_the_wait(waited)


def _stalls(run: OwnedRun, text: str) -> int:
    execution, ticket = run.execution, run.ticket
    steps, cursor = execution.began_at
    began = encode(Checkpoint(cursor))
    still = execution.steps > steps and cursor_part(text) == cursor_part(began)
    stalls = ticket.record.stalls + 1 if still else 0
    if stalls >= MAX_STALLS:
        raise CursorError(
            f"{ticket.run}: two executions in a row processed items and ended at the"
            f" cursor where they began ({execution.cursor!r:.200}), so the run would never end. "
            "Yield a cursor that moves, and pass it to the source on a resume."
        )
    return stalls


def leave_without_store(run: OwnedRun, reason: str) -> None:
    """Send the successor with the checkpoint in it, and leave the slot to others.

    Returns when nothing was sent: the execution waits on.

    Raises:
        Left: the successor is on its way.
        PublishUncertain: perhaps it is, so no item may be processed here.
    """
    run.leaving = True
    limit_stores(run.request, Stores.UNFINISHED)
    announce_interruption(run, reason)
    execution, ticket = run.execution, run.ticket
    try:
        with stores_limited(run.request, Stores.NONE):
            _wait_until_released(run)
            checkpoint = encode(execution.checkpoint)
            ticket.leave_without_store(checkpoint, execution.steps, reason)
    except (OperationalError, Unroutable, CorruptRecord) as exc:
        log(logging.WARNING, run, "keeps its slot while the store is away: %s", exc)
        _stay(run)
        return
    except PublishUncertain:
        raise
    except Exception as exc:  # a soft time limit, say
        raise PublishUncertain(f"interrupted while its message was sent: {saferepr(exc)}") from exc
    run.left = True
    save_later(run, checkpoint)
    log(logging.INFO, run, "waits for the store without a slot: %s%s", reason, lasted(run))
    raise Left(reason)


def announce_interruption(run: OwnedRun, reason: str) -> None:
    """The run is saved for another execution: nothing may keep its message from being sent."""
    what = "is interrupted all the same; ignored on the way: %s"
    try:
        # Before anybody else can end the run, and after it is safe.
        run.report.settle(run.ticket.runtime.settings.release_timeout)
        signals.emit(signals.run_interrupted, run.task, **run.execution.details, reason=reason)
    except Exception as exc:  # a soft time limit, say
        log(logging.ERROR, run, what, saferepr(exc), exc_info=exc)
    except BaseException as exc:  # a receiver called ``sys.exit()``
        if is_stop(exc, run.flag, run.request):
            raise
        log(logging.ERROR, run, what, saferepr(exc), exc_info=exc)


def publish_successor(run: OwnedRun, reason: str) -> None:
    """Send the message that continues the run; returns when the broker takes none.

    Raises:
        Left: it is sent, or a worker sends it one lease later.
    """
    try:
        with stores_limited(run.request, Stores.NONE):  # the next execution may end it at once
            _publish_surely(run)
    except OperationalError as exc:
        log(
            logging.ERROR,
            run,
            "cannot be interrupted (%s): the broker accepts no message, so it continues here: %s",
            reason,
            exc,
        )
        if run.ticket.reclaim().verdict is not Verdict.RESUME:
            drop_lost_run(run)
        run.left = False
        _stay(run)
        run.stops.hold_on()
        return
    except Exception as exc:
        _leave_to_rescuer(run, exc)
    except BaseException as exc:
        _leave_to_rescuer(run, exc)
        if is_stop(exc, run.flag, run.request):
            raise
    log(logging.INFO, run, "was interrupted: %s%s", reason, lasted(run))
    raise Left(f"interrupted: {reason}")


def _stay(run: OwnedRun) -> None:
    run.leaving = False
    limit_stores(run.request, Stores.ANY)
    run.report.resume()


def _publish_surely(run: OwnedRun) -> None:
    """Publish; once more after what does not come from the broker, such as a soft time limit."""
    for last in (False, True):
        try:
            _wait_until_released(run)
            run.ticket.publish()
        except (OperationalError, PublishUncertain):
            raise
        except Exception as exc:
            if last:
                raise
            log(logging.WARNING, run, "is published again after: %s", saferepr(exc))
        else:
            return


def _wait_until_released(run: OwnedRun) -> None:
    """Until this worker takes no more messages itself."""
    if run.flag.raised:
        run.flag.wait_released(run.ticket.runtime.settings.release_timeout)


def _leave_to_rescuer(run: OwnedRun, exc: BaseException) -> None:
    log(
        logging.ERROR,
        run,
        "is published again by a worker after one lease (%.0f s): %s",
        run.ticket.runtime.settings.lease_ttl,
        saferepr(exc),
        exc_info=None if isinstance(exc, PublishUncertain) else exc,
    )
