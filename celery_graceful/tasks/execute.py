"""Carrying a run: from a delivery, through the loop, to whatever the leg ends with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from celery_graceful.model.cursor import Checkpoint, decode
from celery_graceful.model.decide import Verdict
from celery_graceful.model.record import Outcome
from celery_graceful.runs.admission import Admission
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import (
    base_exceptions,
    definitions,
    deliveries,
    endings,
    exits,
    legs,
    poison,
    process,
    results,
    retries,
    styles,
)
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.current import current_leg
from celery_graceful.tasks.leg import Interrupted, Leg
from celery_graceful.tasks.legs import LEG
from celery_graceful.tasks.models import models_of
from celery_graceful.tasks.replay import replay_of

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["execute"]

logger = logging.getLogger("celery_graceful.runs")

_NOT_SEEDED = object()


def execute(task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run ``task`` as far as it gets here.

    Returns the result when the run is done. Leaves by ``Left`` when it was handed over or dropped,
    by ``Returned`` when the broker is to keep the message, and by whatever an item raises.
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
    admission = deliveries.admission_of(task, flag)
    ticket = admission.ticket
    assert ticket is not None
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
    except BaseException as exc:  # the record names such a class
        leg.error = base_exceptions.failure_of(str(leg.ticket.run), exc)
        raise leg.error from exc
    return leg.outcome


def _run(leg: Leg, admission: Admission | None = None) -> Any:
    token = current_leg.set(leg)
    leg.open_work.begin()
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
        if carried is not None and _has_lost_checkpoint(carried, admission):
            poison.fail_without_checkpoint(carried)
        return _through(leg, carried)
    except (Ignore, Reject, Retry) as exc:
        if carried is not None and not carried.left:
            endings.fail(carried, exc)
            retries.send(carried)
        raise
    except Exception as exc:
        if carried is not None and carried.left:
            endings.not_its_failure(carried, exc)
        if carried is not None:
            endings.fail(carried, exc)
        raise
    except BaseException as exc:
        if carried is not None:
            endings.fail_or_let_go(carried, exc)
        raise


def _is_given_up(admission: Admission | None) -> bool:
    return admission is not None and admission.verdict is Verdict.GIVE_UP


def _has_lost_checkpoint(leg: CarriedLeg, admission: Admission | None) -> bool:
    """Whether nobody knows any more how far the run was; the row of an atomic one may."""
    return admission is not None and admission.verdict is Verdict.LOST and not leg.resumed


def _enter(leg: Leg, carried: CarriedLeg | None) -> None:
    while True:
        try:
            return leg.enter()
        except Interrupted as stop:  # of a leg that waits for its turn
            assert carried is not None
            exits.leave(carried, stop.reason)


def _through(leg: Leg, carried: CarriedLeg | None) -> Any:
    models = models_of(leg.task)
    if models is not None:
        leg.args, leg.kwargs = models.validate(leg.args, leg.kwargs)
    again = None if carried is None else replay_of(carried)
    if again is not None and carried is not None:
        result = _iterate(leg, carried, again.run)
        leg.check_committed()
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
    if models is not None:
        result = models.dump(result)
    leg.check_committed()
    if carried is not None:
        endings.finish(carried, result)
    else:
        leg.check_saveable()
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
