"""Carrying a run: from a delivery, through the loop, to whatever the leg ends with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from celery_graceful._celery import wire
from celery_graceful._celery.request import LegLeft
from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.cursor import Checkpoint, decode, encode
from celery_graceful.model.decide import Verdict
from celery_graceful.model.record import Outcome
from celery_graceful.runs.admission import Admission
from celery_graceful.runtime import runtime_of
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import (
    definitions,
    endings,
    exits,
    legs,
    limits,
    poison,
    process,
    results,
    styles,
    uncommitted,
)
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.current import current_leg
from celery_graceful.tasks.entry import enter
from celery_graceful.tasks.leg import Interrupted, Leg
from celery_graceful.tasks.legs import LEG
from celery_graceful.tasks.replay import replay_of

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = [
    "carried_leg",
    "execute",
    "note_final_error",
    "raise_if_final",
    "retry_through",
]

logger = logging.getLogger("celery_graceful.runs")

_NOT_SEEDED = object()


def execute(task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run ``task`` as far as it gets here.

    Returns the result when the run is done. Leaves by ``Ignore`` when it was handed over or
    dropped, by ``Reject`` when the broker is to keep the message, and by whatever an item raises.
    """
    definitions.raise_faults(task)
    kwargs = dict(kwargs)
    seed = kwargs.pop("cursor", _NOT_SEEDED)
    request = task.request
    flag = stop_flag.current()
    if request.called_directly or request.is_eager or flag is None:
        if flag is None and not (request.called_directly or request.is_eager):
            process.warn_without_plugin(task)
        return _run(legs.here(task, args, kwargs, _seeded(seed)))
    process.prepare()
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
    admission = enter(runtime_of(task.app), task, flag)
    ticket = admission.ticket
    if ticket is None:
        logger.info("%s[%s] dropped a surplus message: %s", task.name, request.id, admission.why)
        raise Ignore(admission.why)
    try:
        saved = ticket.record.checkpoint
        checkpoint = seeded if saved is None else decode(saved)
        leg = legs.carried(task, args, kwargs, checkpoint, ticket, flag, request)
    except Exception:
        ticket.end(Outcome.FAILED)  # it would fail again wherever it was taken up
        raise
    setattr(request, LEG, leg)
    if admission.verdict is Verdict.RETURN_SAVED:
        return _return_saved(leg)
    return _run(leg, admission)


def _return_saved(leg: CarriedLeg) -> Any:
    """The run was done, but its worker died before Celery knew: say it again, run nothing."""
    leg.open, leg.returns_saved = False, True
    try:
        leg.outcome = results.load(leg.task, leg.ticket.record.result or "")
    except Exception as exc:
        leg.error = exc
        raise
    return leg.outcome


def _run(leg: Leg, admission: Admission | None = None) -> Any:
    uncommitted.watch()
    token = current_leg.set(leg)
    sizer = batch_sizer.set(leg.pacing.batch_size if isinstance(leg, CarriedLeg) else None)
    try:
        return _loop(leg, admission)
    except Interrupted as stop:  # only from a hook that looked by itself
        raise RuntimeError(f"interrupted outside of the loop: {stop.reason}") from stop
    finally:
        leg.close()
        batch_sizer.reset(sizer)
        current_leg.reset(token)


def _loop(leg: Leg, admission: Admission | None) -> Any:
    carried = leg if isinstance(leg, CarriedLeg) else None
    try:
        _enter(leg, carried)
        if carried is not None and _is_given_up(admission):
            poison.give_up(carried)
        return _through(leg, carried)
    except (Ignore, Reject, Retry) as exc:
        if carried is not None and not carried.left:
            endings.fail(carried, exc)
            _send_retry(carried)
        raise
    except Exception as exc:
        if carried is not None and carried.left:
            # A soft time limit, say, that strikes while the successor is published.
            logger.error(
                "%s was handed over, so this is not its failure", carried.ticket.run, exc_info=True
            )
            raise Ignore("handed over") from exc
        if carried is not None:
            endings.fail(carried, exc)
        raise
    except BaseException:
        if carried is not None:
            exits.abandon(carried)
        raise


def _is_given_up(admission: Admission | None) -> bool:
    return admission is not None and admission.verdict is Verdict.GIVE_UP


def _enter(leg: Leg, carried: CarriedLeg | None) -> None:
    while True:
        try:
            return leg.enter()
        except Interrupted as stop:  # of a leg that waits for its turn
            assert carried is not None
            exits.leave(carried, stop.reason)


def _through(leg: Leg, carried: CarriedLeg | None) -> Any:
    again = None if carried is None else replay_of(carried)
    if again is not None and carried is not None:
        result = _iterate(leg, carried, again.run)
        endings.finish(carried, result)
        return result
    task, args, kwargs = leg.task, leg.args, leg.kwargs
    if leg.saved is not None and carried is not None:
        result = results.load(task, leg.saved)
        endings.finish(carried, result)
        return result
    (task.on_resume if leg.resumed else task.on_start)(*args, **kwargs)
    if leg.total is None and not leg.resumed:
        leg.total = task.count(*args, **kwargs)
    result = _iterate(leg, carried, lambda: styles.iterate(leg))
    task.on_complete(*args, **kwargs)
    if task.body is None:
        result = task.result(*args, **kwargs)
    if carried is not None:
        endings.finish(carried, result)
    else:
        leg.save_result(result)
    return result


def _iterate(leg: Leg, carried: CarriedLeg | None, iterate: Callable[[], Any]) -> Any:
    while True:
        try:
            return iterate()
        except Interrupted as stop:
            if carried is None:
                leg.leave(stop.reason)
            else:
                exits.leave(carried, stop.reason)


# -- retries ---------------------------------------------------------------------------------


def carried_leg(task: RunTask, task_id: str | None) -> CarriedLeg | None:
    """The leg whose own successor is being published: the message has its task id."""
    if task_id is None or task.request.called_directly or task.request.id != task_id:
        return None
    leg = getattr(task.request, LEG, None)
    return leg if isinstance(leg, CarriedLeg) else None


def retry_through(
    leg: CarriedLeg,
    args: Any,
    kwargs: Any,
    options: dict[str, Any],
    send: Callable[..., Any],
) -> Any:
    """Publish a retry of the run, once its checkpoint is saved.

    Inside the loop nobody knows yet how far it came, so the message waits until the loop is left.
    """
    leg.retry_options = {"args": args, "kwargs": kwargs, **options}
    leg.send_retry = send
    if not leg.open:
        _send_retry(leg)
    return leg.task.AsyncResult(leg.id)


def _send_retry(leg: CarriedLeg) -> None:
    options, send = leg.retry_options, leg.send_retry
    if options is None or send is None:
        return
    leg.retry_options = leg.send_retry = None
    if leg.flag.raised:
        leg.flag.wait_released(leg.ticket.runtime.settings.hand_over_timeout)
    try:
        decision = leg.ticket.wait(encode(leg.checkpoint), leg.steps, "retry", _delay(options))
    except StoreUnavailable as exc:
        raise LegLeft(str(exc), leg.ticket.fence) from exc
    if decision.verdict is Verdict.REFUSED:
        exits.give_way(leg)
    if decision.verdict is not Verdict.PUBLISH:
        exits.taken_out(leg)
    headers = dict(options.get("headers") or {})
    for name in (wire.CHECKPOINT, wire.HOME):
        headers.pop(name, None)
    headers[wire.GENERATION] = leg.ticket.record.generation
    headers["parent_id"] = leg.request.parent_id  # Celery would make a root task its own parent
    options["headers"] = headers
    try:
        send(**options)
    except Exception as exc:
        # ``Task.retry`` would reject the message and fail the task; the run is not lost.
        logger.error(
            "%s: the retry could not be published; a worker does it one lease after it was due: %r",
            leg.ticket.run,
            exc,
        )


def _delay(options: dict[str, Any]) -> float:
    if options.get("countdown") is not None:
        return float(options["countdown"])
    eta = options.get("eta")
    if isinstance(eta, datetime):
        moment = eta if eta.tzinfo is not None else eta.replace(tzinfo=timezone.utc)
        return max(0.0, moment.timestamp() - time.time())
    return 0.0


def raise_if_final(task: RunTask, exc: Exception | None) -> None:
    """An error that a retry would only meet again is not retried, nor is a message given back."""
    if isinstance(exc, Reject):  # ``autoretry_for = (Exception,)`` would take it for an error
        raise exc
    leg = getattr(task.request, LEG, None)
    if not isinstance(leg, CarriedLeg) or exc is None:
        return
    if leg.returns_saved or isinstance(exc, limits.FINAL_ERRORS):
        raise exc


def note_final_error(task: RunTask, exc: Exception) -> None:
    """``Task.retry`` raised something else than Retry: no retry is left, ``exc`` is the outcome."""
    leg = getattr(task.request, LEG, None)
    if isinstance(exc, (Retry, Reject, Ignore)) or not isinstance(leg, CarriedLeg):
        return
    if not leg.open and not leg.returns_saved:
        endings.fail_for_good(leg, exc)
