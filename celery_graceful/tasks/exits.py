"""The ways out of a leg whose run goes on elsewhere, or is taken out."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any, NoReturn

from celery.utils.saferepr import saferepr
from kombu.exceptions import OperationalError

from celery_graceful import signals
from celery_graceful._celery.delivery import (
    Left,
    Returned,
    Stores,
    delivery_of,
    limit_stores,
    stores_limited,
)
from celery_graceful._celery.request import LegLeft
from celery_graceful.counting import counted
from celery_graceful.errors import (
    CorruptRecord,
    CursorError,
    PublishUncertain,
    StoreError,
    Unroutable,
)
from celery_graceful.model.cursor import Checkpoint, encode
from celery_graceful.model.decide import Decision, Verdict
from celery_graceful.model.reasons import StopReason
from celery_graceful.model.record import Outcome
from celery_graceful.tasks import limits, results
from celery_graceful.tasks.attended import no_longer_cut
from celery_graceful.tasks.base_exceptions import is_stop
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.replay import replay_of
from celery_graceful.tasks.saving import cursor_part

__all__ = [
    "abandon",
    "forget_replayed",
    "give_way",
    "go_back",
    "leave",
    "log",
    "taken_out",
]

logger = logging.getLogger("celery_graceful.runs")

#: Legs in a row that may process items and end where they began.
MAX_STALLS = 2


# -- interrupted -----------------------------------------------------------------------------


def leave(leg: CarriedLeg, reason: str) -> None:
    """Hand the run over.

    Raises ``Left`` when another leg will carry it on, ``Returned`` when its message goes back to
    the broker; returns when the broker takes no message, so that the run goes on here.
    """
    no_longer_cut(leg.request)
    if reason == StopReason.LEASE_LOST:
        give_way(leg)
    leg.report.stop()
    signals.emit(signals.stop_requested, leg.task, task_id=leg.id, reason=reason)
    if leg.began:
        _stop_work(leg, reason)
    sent = False
    if reason == StopReason.STORE_UNAVAILABLE:
        try:
            _leave_without_store(leg, reason)
        except PublishUncertain as exc:
            log(logging.WARNING, leg, "waits for the store: %s", exc)
            sent = True
        else:
            return
    returns = _returns(leg, reason)
    leg.leaving = True
    decision = _hand_over(leg, reason, successor=not returns, sent=sent)
    leg.left = True
    limit_stores(leg.request, Stores.UNFINISHED)
    _tell_interrupted(leg, reason)
    if decision.verdict is not Verdict.PUBLISH:
        taken_out(leg)
    if returns:
        log(logging.INFO, leg, "goes back to the queue: %s%s", reason, _after(leg))
        raise Returned(reason)
    _publish(leg, reason)


def _leave_without_store(leg: CarriedLeg, reason: str) -> None:
    """Send the successor with the checkpoint in it, and leave the slot to others.

    Returns when nothing was sent: the execution waits on.

    Raises:
        Left: the successor is on its way.
        PublishUncertain: perhaps it is, so no item may be processed here.
    """
    leg.leaving = True
    limit_stores(leg.request, Stores.UNFINISHED)
    _tell_interrupted(leg, reason)
    try:
        with stores_limited(leg.request, Stores.NONE):
            if leg.flag.raised:
                leg.flag.wait_released(leg.ticket.runtime.settings.hand_over_timeout)
            leg.ticket.leave_without_store(encode(leg.checkpoint), leg.steps, reason)
    except (OperationalError, Unroutable, CorruptRecord) as exc:
        log(logging.WARNING, leg, "keeps its slot while the store is away: %s", exc)
        leg.leaving = False
        limit_stores(leg.request, Stores.ANY)
        leg.report.resume()
        return
    except PublishUncertain:
        raise
    except Exception as exc:  # a soft time limit, say
        raise PublishUncertain(f"interrupted while it was handed over: {saferepr(exc)}") from exc
    leg.left = True
    log(logging.INFO, leg, "waits for the store without a slot: %s%s", reason, _after(leg))
    raise Left(reason)


def _returns(leg: CarriedLeg, reason: str) -> bool:
    """Whether the message in hand goes back to the broker, in place of a successor."""
    # On solo nobody could take the successor before this process ends.
    if limits.runs_in_main_process(leg.flag) and reason in (
        StopReason.SHUTDOWN,
        StopReason.MAINTENANCE,
    ):
        return True
    try:
        leg.ticket.check_successor()
    except CorruptRecord as exc:
        log(logging.ERROR, leg, "goes back to the queue, no message can be made of it: %s", exc)
        return True
    return False


def _tell_interrupted(leg: CarriedLeg, reason: str) -> None:
    """The run is saved for another execution: nothing may keep its message from being sent."""
    try:
        # Before anybody else can end the run, and after it is safe.
        leg.report.settle(leg.ticket.runtime.settings.hand_over_timeout)
        signals.emit(signals.run_interrupted, leg.task, **leg.details, reason=reason)
    except Exception as exc:  # a soft time limit, say
        log(logging.ERROR, leg, "is handed over all the same: %s", saferepr(exc), exc_info=exc)
    except BaseException as exc:  # a receiver called ``sys.exit()``
        if is_stop(exc, leg.flag, leg.request):
            raise
        log(logging.ERROR, leg, "is handed over all the same: %s", saferepr(exc), exc_info=exc)


def _stop_work(leg: CarriedLeg, reason: str) -> None:
    if replay_of(leg) is not None:
        pass  # it began without hooks
    elif reason == StopReason.CANCELLED:
        leg.task.on_cancel(*leg.args, **leg.kwargs)
    else:
        leg.task.on_stop(reason, *leg.args, **leg.kwargs)
    if not leg.save_work():
        give_way(leg)


def _hand_over(leg: CarriedLeg, reason: str, *, successor: bool, sent: bool) -> Decision:
    text = encode(leg.checkpoint)
    stalls = _stalls(leg, text)
    # What an operator wants has to be told to the store.
    without = successor and not sent and reason not in (StopReason.PAUSED, StopReason.CANCELLED)
    try:
        decision = leg.ticket.hand_over(
            text,
            leg.steps,
            reason,
            successor=successor,
            stalls=stalls,
            patience=partial(_is_enough, leg) if without else None,
        )
    except StoreError as exc:
        try:
            if without and not isinstance(exc, CorruptRecord) and leg.may_leave:
                _leave_without_store(leg, reason)
        except PublishUncertain:
            sent = True
        if sent:  # the message in hand would compete with it; if it was lost, the run is rescued
            leg.left = True
            raise Left(reason) from exc
        go_back(leg, f"stops ({reason})", exc)
    if decision.verdict is Verdict.REFUSED:
        give_way(leg)
    return decision


def _is_enough(leg: CarriedLeg, waited: float) -> bool:
    """Whether a stop has waited long enough for the store."""
    patience = leg.ticket.patience
    over = patience(waited) if callable(patience) else waited >= patience
    return over or leg.gives_up_store(waited)


def go_back(leg: CarriedLeg, what: str, exc: StoreError) -> NoReturn:
    """The store does not take what became of the leg: nothing is said, and the message returns."""
    leg.left = True
    log(
        logging.ERROR,
        leg,
        "%s and could not save it: items after the last saved checkpoint run again: %s",
        what,
        exc,
    )
    raise LegLeft(str(exc), leg.ticket.fence) from exc


def _stalls(leg: CarriedLeg, text: str) -> int:
    steps, cursor = leg.began_at
    began = encode(Checkpoint(cursor))
    still = leg.steps > steps and cursor_part(text) == cursor_part(began)
    stalls = leg.ticket.record.stalls + 1 if still else 0
    if stalls >= MAX_STALLS:
        raise CursorError(
            f"{leg.ticket.run}: two legs in a row processed items and ended at the cursor "
            f"where they began ({leg.cursor!r:.200}), so the run would never end. Yield a "
            "cursor that moves, and pass it to the source on a resume."
        )
    return stalls


def _publish(leg: CarriedLeg, reason: str) -> None:
    try:
        with stores_limited(leg.request, Stores.NONE):  # the next execution may end it at once
            _publish_surely(leg)
    except OperationalError as exc:
        log(
            logging.ERROR,
            leg,
            "cannot be handed over (%s), the broker takes no message, so it goes on here: %s",
            reason,
            exc,
        )
        if leg.ticket.reclaim().verdict is not Verdict.RESUME:
            give_way(leg)
        leg.left = leg.leaving = False
        limit_stores(leg.request, Stores.ANY)
        leg.report.resume()
        leg.hold_on()
        return
    except Exception as exc:
        _leave_to_rescuer(leg, exc)
    except BaseException as exc:
        _leave_to_rescuer(leg, exc)
        if is_stop(exc, leg.flag, leg.request):
            raise
    log(logging.INFO, leg, "was handed over: %s%s", reason, _after(leg))
    raise Left(f"handed over: {reason}")


def _publish_surely(leg: CarriedLeg) -> None:
    """Publish; once more after what does not come from the broker, such as a soft time limit."""
    for last in (False, True):
        try:
            if leg.flag.raised:
                leg.flag.wait_released(leg.ticket.runtime.settings.hand_over_timeout)
            leg.ticket.publish()
        except (OperationalError, PublishUncertain):
            raise
        except Exception as exc:
            if last:
                raise
            log(logging.WARNING, leg, "is published again after: %s", saferepr(exc))
        else:
            return


def _leave_to_rescuer(leg: CarriedLeg, exc: BaseException) -> None:
    log(
        logging.ERROR,
        leg,
        "is published again by a worker after one lease (%.0f s): %s",
        leg.ticket.runtime.settings.lease_ttl,
        saferepr(exc),
        exc_info=None if isinstance(exc, PublishUncertain) else exc,
    )


def give_way(leg: CarriedLeg) -> NoReturn:
    """The run is no longer this leg's: end without a trace."""
    leg.left = True
    limit_stores(leg.request, Stores.NONE)
    log(
        logging.WARNING,
        leg,
        "is no longer carried here (%s); this leg ends without a trace",
        leg.ticket.refused,
    )
    raise Left(f"the run is no longer carried here: {leg.ticket.refused}")


def taken_out(leg: CarriedLeg) -> NoReturn:
    """An operator or ``revoke`` ended or paused the run: no successor is sent."""
    record = leg.ticket.record
    limit_stores(leg.request, Stores.NONE)
    if record.outcome is not None:
        leg.forget()
        forget_replayed(leg)
    if record.outcome is Outcome.CANCELLED:
        limit_stores(leg.request, Stores.REVOKED)
        results.store_revoked(leg.task, leg.request)
        signals.emit(signals.run_cancelled, leg.task, **leg.details)
    how = str(record.outcome or record.state)
    log(logging.INFO, leg, "was taken out: %s%s", how, _after(leg))
    raise Left(how)


def forget_replayed(leg: CarriedLeg) -> None:
    again = replay_of(leg)
    if again is not None:
        again.forget_done()


def abandon(leg: CarriedLeg) -> None:
    """The process is told to die at once: let go of the lease, so that the message may return."""
    if leg.left:
        return
    try:
        leg.undo()
        leg.ticket.hand_over(
            encode(leg.checkpoint), leg.steps, StopReason.SHUTDOWN, successor=False, patience=0.0
        )
    except Exception as exc:  # whoever ends the process must not wait, nor take this for the end
        log(logging.ERROR, leg, "dies without saving its checkpoint: %s", saferepr(exc))


def _after(leg: CarriedLeg) -> str:
    """How long the execution took, as the end of a line."""
    delivery = delivery_of(leg.request)
    return "" if delivery is None else f", after {time.monotonic() - delivery.began:.1f} s"


def log(
    level: int,
    leg: CarriedLeg,
    what: str,
    *details: Any,
    exc_info: BaseException | None = None,
) -> None:
    """One line for the person on call: run, how far, and what happened."""
    logger.log(
        level,
        "%s at cursor %.200r (%s done) " + what,
        leg.ticket.run,
        leg.cursor,
        counted(leg.steps, "item"),
        *details,
        exc_info=exc_info,
    )
