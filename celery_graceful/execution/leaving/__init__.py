"""The ways out of an execution whose run goes on elsewhere, or is taken out."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any, NoReturn

from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from celery_graceful import signals
from celery_graceful._celery.task.delivery import (
    ExecutionLeft,
    Left,
    Returned,
    Stores,
    delivery_of,
    limit_stores,
    stores_limited,
)
from celery_graceful.errors import (
    CorruptRecord,
    CursorError,
    PublishUncertain,
    StoreError,
    Unroutable,
)
from celery_graceful.execution import results
from celery_graceful.execution.journal.store_journal import cursor_part
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.execution.quarantine.replay import replay_of
from celery_graceful.execution.stopping import limits
from celery_graceful.execution.stopping.base_exceptions import is_stop
from celery_graceful.execution.stopping.stop_hooks import no_longer_cut
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome
from celery_graceful.model.run.verdict import Decision, Verdict
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")

#: Executions in a row that may process items and end where they began.
MAX_STALLS = 2


# -- interrupted -----------------------------------------------------------------------------


def leave(execution: OwnedExecution, reason: str) -> None:
    """Hand the run over.

    Raises ``Left`` when another execution will carry it on, ``Returned`` when its message goes back
    to the broker; returns when the broker takes no message, so that the run goes on here.
    """
    no_longer_cut(execution.request)
    if reason == StopReason.LEASE_LOST:
        give_way(execution)
    execution.report.stop()
    signals.emit(signals.stop_requested, execution.task, task_id=execution.id, reason=reason)
    if execution.began:
        _stop_work(execution, reason)
    sent = False
    if reason == StopReason.STORE_UNAVAILABLE:
        try:
            _leave_without_store(execution, reason)
        except PublishUncertain as exc:
            log(logging.WARNING, execution, "waits for the store: %s", exc)
            sent = True
        else:
            return
    returns = _returns(execution, reason)
    execution.leaving = True
    decision = _hand_over(execution, reason, successor=not returns, sent=sent)
    execution.left = True
    limit_stores(execution.request, Stores.UNFINISHED)
    _tell_interrupted(execution, reason)
    if decision.verdict is not Verdict.PUBLISH:
        taken_out(execution)
    if returns:
        log(logging.INFO, execution, "goes back to the queue: %s%s", reason, _after(execution))
        raise Returned(reason)
    _publish(execution, reason)


def _leave_without_store(execution: OwnedExecution, reason: str) -> None:
    """Send the successor with the checkpoint in it, and leave the slot to others.

    Returns when nothing was sent: the execution waits on.

    Raises:
        Left: the successor is on its way.
        PublishUncertain: perhaps it is, so no item may be processed here.
    """
    execution.leaving = True
    limit_stores(execution.request, Stores.UNFINISHED)
    _tell_interrupted(execution, reason)
    try:
        with stores_limited(execution.request, Stores.NONE):
            if execution.flag.raised:
                execution.flag.wait_released(execution.ticket.runtime.settings.release_timeout)
            execution.ticket.leave_without_store(
                encode(execution.checkpoint), execution.steps, reason
            )
    except (OperationalError, Unroutable, CorruptRecord) as exc:
        log(logging.WARNING, execution, "keeps its slot while the store is away: %s", exc)
        execution.leaving = False
        limit_stores(execution.request, Stores.ANY)
        execution.report.resume()
        return
    except PublishUncertain:
        raise
    except Exception as exc:  # a soft time limit, say
        raise PublishUncertain(f"interrupted while it was handed over: {saferepr(exc)}") from exc
    execution.left = True
    log(
        logging.INFO,
        execution,
        "waits for the store without a slot: %s%s",
        reason,
        _after(execution),
    )
    raise Left(reason)


def _returns(execution: OwnedExecution, reason: str) -> bool:
    """Whether the message in hand goes back to the broker, in place of a successor."""
    # On solo nobody could take the successor before this process ends.
    if limits.runs_in_main_process(execution.flag) and reason in (
        StopReason.SHUTDOWN,
        StopReason.MAINTENANCE,
    ):
        return True
    try:
        execution.ticket.check_successor()
    except CorruptRecord as exc:
        log(
            logging.ERROR,
            execution,
            "goes back to the queue, no message can be made of it: %s",
            exc,
        )
        return True
    return False


def _tell_interrupted(execution: OwnedExecution, reason: str) -> None:
    """The run is saved for another execution: nothing may keep its message from being sent."""
    try:
        # Before anybody else can end the run, and after it is safe.
        execution.report.settle(execution.ticket.runtime.settings.release_timeout)
        signals.emit(signals.run_interrupted, execution.task, **execution.details, reason=reason)
    except Exception as exc:  # a soft time limit, say
        log(
            logging.ERROR, execution, "is handed over all the same: %s", saferepr(exc), exc_info=exc
        )
    except BaseException as exc:  # a receiver called ``sys.exit()``
        if is_stop(exc, execution.flag, execution.request):
            raise
        log(
            logging.ERROR, execution, "is handed over all the same: %s", saferepr(exc), exc_info=exc
        )


def _stop_work(execution: OwnedExecution, reason: str) -> None:
    if replay_of(execution) is not None:
        pass  # it began without hooks
    elif reason == StopReason.CANCELLED:
        execution.task.on_cancel(*execution.args, **execution.kwargs)
    else:
        execution.task.on_stop(reason, *execution.args, **execution.kwargs)
    if not execution.save_work():
        give_way(execution)


def _hand_over(execution: OwnedExecution, reason: str, *, successor: bool, sent: bool) -> Decision:
    text = encode(execution.checkpoint)
    stalls = _stalls(execution, text)
    # What an operator wants has to be told to the store.
    without = successor and not sent and reason not in (StopReason.PAUSED, StopReason.CANCELLED)
    try:
        decision = execution.ticket.hand_over(
            text,
            execution.steps,
            reason,
            successor=successor,
            stalls=stalls,
            patience=partial(_is_enough, execution) if without else None,
        )
    except StoreError as exc:
        try:
            if without and not isinstance(exc, CorruptRecord) and execution.may_leave:
                _leave_without_store(execution, reason)
        except PublishUncertain:
            sent = True
        if sent:  # the message in hand would compete with it; if it was lost, the run is rescued
            execution.left = True
            raise Left(reason) from exc
        go_back(execution, f"stops ({reason})", exc)
    if decision.verdict is Verdict.REFUSED:
        give_way(execution)
    return decision


def _is_enough(execution: OwnedExecution, waited: float) -> bool:
    """Whether a stop has waited long enough for the store."""
    patience = execution.ticket.patience
    over = patience(waited) if callable(patience) else waited >= patience
    return over or execution.gives_up_store(waited)


def go_back(execution: OwnedExecution, what: str, exc: StoreError) -> NoReturn:
    """The store refuses what became of the execution: its message returns to the broker."""
    execution.left = True
    log(
        logging.ERROR,
        execution,
        "%s and could not save it: items after the last saved checkpoint run again: %s",
        what,
        exc,
    )
    raise ExecutionLeft(str(exc), execution.ticket.fence) from exc


def _stalls(execution: OwnedExecution, text: str) -> int:
    steps, cursor = execution.began_at
    began = encode(Checkpoint(cursor))
    still = execution.steps > steps and cursor_part(text) == cursor_part(began)
    stalls = execution.ticket.record.stalls + 1 if still else 0
    if stalls >= MAX_STALLS:
        raise CursorError(
            f"{execution.ticket.run}: two executions in a row processed items and ended at the"
            f" cursor where they began ({execution.cursor!r:.200}), so the run would never end. "
            "Yield a cursor that moves, and pass it to the source on a resume."
        )
    return stalls


def _publish(execution: OwnedExecution, reason: str) -> None:
    try:
        with stores_limited(
            execution.request, Stores.NONE
        ):  # the next execution may end it at once
            _publish_surely(execution)
    except OperationalError as exc:
        log(
            logging.ERROR,
            execution,
            "cannot be handed over (%s), the broker takes no message, so it goes on here: %s",
            reason,
            exc,
        )
        if execution.ticket.reclaim().verdict is not Verdict.RESUME:
            give_way(execution)
        execution.left = execution.leaving = False
        limit_stores(execution.request, Stores.ANY)
        execution.report.resume()
        execution.hold_on()
        return
    except Exception as exc:
        _leave_to_rescuer(execution, exc)
    except BaseException as exc:
        _leave_to_rescuer(execution, exc)
        if is_stop(exc, execution.flag, execution.request):
            raise
    log(logging.INFO, execution, "was interrupted: %s%s", reason, _after(execution))
    raise Left(f"handed over: {reason}")


def _publish_surely(execution: OwnedExecution) -> None:
    """Publish; once more after what does not come from the broker, such as a soft time limit."""
    for last in (False, True):
        try:
            if execution.flag.raised:
                execution.flag.wait_released(execution.ticket.runtime.settings.release_timeout)
            execution.ticket.publish()
        except (OperationalError, PublishUncertain):
            raise
        except Exception as exc:
            if last:
                raise
            log(logging.WARNING, execution, "is published again after: %s", saferepr(exc))
        else:
            return


def _leave_to_rescuer(execution: OwnedExecution, exc: BaseException) -> None:
    log(
        logging.ERROR,
        execution,
        "is published again by a worker after one lease (%.0f s): %s",
        execution.ticket.runtime.settings.lease_ttl,
        saferepr(exc),
        exc_info=None if isinstance(exc, PublishUncertain) else exc,
    )


def give_way(execution: OwnedExecution) -> NoReturn:
    """The run is no longer this execution's: end without a trace."""
    execution.left = True
    limit_stores(execution.request, Stores.NONE)
    log(
        logging.WARNING,
        execution,
        "is no longer carried here (%s); this execution ends without a trace",
        execution.ticket.refused,
    )
    raise Left(f"the run is no longer carried here: {execution.ticket.refused}")


def taken_out(execution: OwnedExecution) -> NoReturn:
    """An operator or ``revoke`` ended or paused the run: no successor is sent."""
    record = execution.ticket.record
    limit_stores(execution.request, Stores.NONE)
    if record.outcome is not None:
        execution.forget()
        forget_replayed(execution)
    if record.outcome is Outcome.CANCELLED:
        limit_stores(execution.request, Stores.REVOKED)
        results.store_revoked(execution.task, execution.request)
        signals.emit(signals.run_cancelled, execution.task, **execution.details)
    how = str(record.outcome or record.state)
    log(logging.INFO, execution, "was taken out: %s%s", how, _after(execution))
    raise Left(how)


def forget_replayed(execution: OwnedExecution) -> None:
    again = replay_of(execution)
    if again is not None:
        again.forget_done()


def abandon(execution: OwnedExecution) -> None:
    """The process is told to die at once: let go of the lease, so that the message may return."""
    if execution.left:
        return
    try:
        execution.undo()
        execution.ticket.hand_over(
            encode(execution.checkpoint),
            execution.steps,
            StopReason.SHUTDOWN,
            successor=False,
            patience=0.0,
        )
    except Exception as exc:  # whoever ends the process must not wait, nor take this for the end
        log(logging.ERROR, execution, "dies without saving its checkpoint: %s", saferepr(exc))


def _after(execution: OwnedExecution) -> str:
    """How long the execution took, as the end of a line."""
    delivery = delivery_of(execution.request)
    return "" if delivery is None else f", after {time.monotonic() - delivery.began:.1f} s"


def log(
    level: int,
    execution: OwnedExecution,
    what: str,
    *details: Any,
    exc_info: BaseException | None = None,
) -> None:
    """One line for the person on call: run, how far, and what happened."""
    logger.log(
        level,
        "%s at cursor %.200r (%s done) " + what,
        execution.ticket.run,
        execution.cursor,
        counted(execution.steps, "item"),
        *details,
        exc_info=exc_info,
    )
