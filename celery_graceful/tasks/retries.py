"""Retries of a run: the checkpoint is saved before Celery publishes the message."""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry
from celery.utils.saferepr import saferepr

from celery_graceful._celery import wire
from celery_graceful._celery.delivery import Stores, delivery_of, limit_stores
from celery_graceful._celery.request import LegLeft
from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.cursor import encode
from celery_graceful.model.decide import Verdict
from celery_graceful.tasks import base_exceptions, endings, exits, limits
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.legs import LEG

if TYPE_CHECKING:
    from celery_graceful.tasks.written import RunTask

__all__ = ["carried_leg", "note_final_error", "raise_if_final", "retry_through", "send"]

logger = logging.getLogger("celery_graceful.runs")


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
    publish: Callable[..., Any],
) -> Any:
    """Publish a retry of the run, once its checkpoint is saved.

    Inside the loop nobody knows yet how far it came, so the message waits until the loop is left.
    """
    leg.retry_options = {"args": args, "kwargs": kwargs, **options}
    leg.send_retry = publish
    if not leg.open:
        send(leg)
    return leg.task.AsyncResult(leg.id)


def send(leg: CarriedLeg) -> None:
    """Publish the retry that was asked for in the loop, if there was one."""
    options, publish = leg.retry_options, leg.send_retry
    if options is None or publish is None:
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
    for name in (wire.CHECKPOINT, wire.LEFT, wire.LEFT_OUT, wire.HOME):
        headers.pop(name, None)
    headers.update(wire.travelling(leg.ticket.record.checkpoint))
    headers[wire.GENERATION] = leg.ticket.record.generation
    headers["parent_id"] = leg.request.parent_id  # Celery would make a root task its own parent
    options["headers"] = headers
    _when_retry_is_stored(leg, partial(_publish, leg, partial(publish, **options)))


def _when_retry_is_stored(leg: CarriedLeg, publish: Callable[[], None]) -> None:
    """Publish when Celery has stored RETRY, and told ``task_retry`` and ``on_retry``.

    The next execution may end the run at once, and RETRY must not replace its outcome.
    """
    delivery = delivery_of(leg.request)
    if delivery is None:
        publish()
        return
    delivery.stores = Stores.UNFINISHED
    # With the context of the execution, from which tracing packages take their headers.
    delivery.afterwards.append(partial(contextvars.copy_context().run, publish))


def _publish(leg: CarriedLeg, publish: Callable[[], object]) -> None:
    limit_stores(leg.request, Stores.NONE)
    try:
        publish()
    except Exception as exc:
        # ``Task.retry`` would reject the message and fail the task; the run is not lost.
        _warn_not_sent(leg, exc)
    except BaseException as exc:
        if base_exceptions.is_stop(exc, leg.flag, leg.request):
            raise
        _warn_not_sent(leg, exc)


def _warn_not_sent(leg: CarriedLeg, exc: BaseException) -> None:
    logger.error(
        "%s: the retry could not be published; a worker does it one lease after it was due: %s",
        leg.ticket.run,
        saferepr(exc),
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
