"""Which leg a delivery gets, and where an eager one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_graceful.model.cursor import Checkpoint
from celery_graceful.tasks.atomic import AtomicCarriedLeg, AtomicLeg
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.leg import Leg, leg_maker

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["LEG", "carried", "forget_eager_retry", "here", "keep_for_eager_retry"]

#: Where the leg of a delivery is kept on its request, for what Celery calls after ``run``.
LEG = "graceful_leg"

#: Where eager runs stood when their retry was asked for; taken up by that retry.
_eager_retries: dict[str, Checkpoint] = {}


def carried(task: RunTask, *args: Any) -> CarriedLeg:
    """A leg whose run is kept in the store; arguments as :class:`CarriedLeg`."""
    kind = CarriedLeg if task.atomic is None else AtomicCarriedLeg
    return kind(task, *args)


def here(
    task: RunTask, args: tuple[Any, ...], kwargs: dict[str, Any], checkpoint: Checkpoint
) -> Leg:
    """A leg that runs to its end in this process, without a store.

    An eager retry goes on at the failed item all the same.
    """
    request = task.request
    make = leg_maker.get()
    leg = None if make is None else make(task, args, kwargs, checkpoint)
    if leg is None:
        leg = (Leg if task.atomic is None else AtomicLeg)(task, args, kwargs, checkpoint)
    kept = _eager_retries.pop(str(request.id), None) if request.is_eager else None
    if kept is not None and request.retries:
        leg.begin_at(kept)
    setattr(request, LEG, leg)
    return leg


def keep_for_eager_retry(task: RunTask) -> None:
    """``Task.retry`` is about to run an eager task again."""
    leg = getattr(task.request, LEG, None)
    if task.request.is_eager and isinstance(leg, Leg):
        _eager_retries[str(task.request.id)] = leg.to_retry


def forget_eager_retry(task: RunTask) -> None:
    """No retry is left."""
    _eager_retries.pop(str(task.request.id), None)
