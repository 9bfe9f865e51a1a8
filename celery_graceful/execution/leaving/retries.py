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

from celery_graceful._celery.message.headers import (
    CHECKPOINT,
    GENERATION,
    HOME,
    LEFT,
    LEFT_OUT,
    travelling,
)
from celery_graceful._celery.task.delivery import ExecutionLeft, Stores, delivery_of, limit_stores
from celery_graceful.errors import StoreUnavailable
from celery_graceful.execution import ending, leaving
from celery_graceful.execution.making import EXECUTION
from celery_graceful.execution.owned import OwnedExecution
from celery_graceful.execution.stopping import base_exceptions, limits
from celery_graceful.model.run.cursor import encode
from celery_graceful.model.run.verdict import Verdict

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")


def carried_execution(task: RunTask, task_id: str | None) -> OwnedExecution | None:
    """The execution whose own successor is being published: the message has its task id."""
    if task_id is None or task.request.called_directly or task.request.id != task_id:
        return None
    execution = getattr(task.request, EXECUTION, None)
    return execution if isinstance(execution, OwnedExecution) else None


def retry_through(
    execution: OwnedExecution,
    args: Any,
    kwargs: Any,
    options: dict[str, Any],
    publish: Callable[..., Any],
) -> Any:
    """Publish a retry of the run, once its checkpoint is saved.

    Inside the loop nobody knows yet how far it came, so the message waits until the loop is left.
    """
    execution.retry_options = {"args": args, "kwargs": kwargs, **options}
    execution.send_retry = publish
    if not execution.open:
        send(execution)
    return execution.task.AsyncResult(execution.id)


def send(execution: OwnedExecution) -> None:
    """Publish the retry that was asked for in the loop, if there was one."""
    options, publish = execution.retry_options, execution.send_retry
    if options is None or publish is None:
        return
    execution.retry_options = execution.send_retry = None
    if execution.flag.raised:
        execution.flag.wait_released(execution.ticket.runtime.settings.release_timeout)
    try:
        decision = execution.ticket.wait(
            encode(execution.checkpoint), execution.steps, "retry", _delay(options)
        )
    except StoreUnavailable as exc:
        raise ExecutionLeft(str(exc), execution.ticket.fence) from exc
    if decision.verdict is Verdict.REFUSED:
        leaving.give_way(execution)
    if decision.verdict is not Verdict.PUBLISH:
        leaving.taken_out(execution)
    headers = dict(options.get("headers") or {})
    for name in (CHECKPOINT, LEFT, LEFT_OUT, HOME):
        headers.pop(name, None)
    headers.update(travelling(execution.ticket.record.checkpoint))
    headers[GENERATION] = execution.ticket.record.generation
    headers["parent_id"] = (
        execution.request.parent_id
    )  # Celery would make a root task its own parent
    options["headers"] = headers
    _when_retry_is_stored(execution, partial(_publish, execution, partial(publish, **options)))


def _when_retry_is_stored(execution: OwnedExecution, publish: Callable[[], None]) -> None:
    """Publish when Celery has stored RETRY, and told ``task_retry`` and ``on_retry``.

    The next execution may end the run at once, and RETRY must not replace its outcome.
    """
    delivery = delivery_of(execution.request)
    if delivery is None:
        publish()
        return
    delivery.stores = Stores.UNFINISHED
    # With the context of the execution, from which tracing packages take their headers.
    delivery.afterwards.append(partial(contextvars.copy_context().run, publish))


def _publish(execution: OwnedExecution, publish: Callable[[], object]) -> None:
    limit_stores(execution.request, Stores.NONE)
    try:
        publish()
    except Exception as exc:
        # ``Task.retry`` would reject the message and fail the task; the run is not lost.
        _warn_not_sent(execution, exc)
    except BaseException as exc:
        if base_exceptions.is_stop(exc, execution.flag, execution.request):
            raise
        _warn_not_sent(execution, exc)


def _warn_not_sent(execution: OwnedExecution, exc: BaseException) -> None:
    logger.error(
        "%s: the retry could not be published; a worker does it one lease after it was due: %s",
        execution.ticket.run,
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
    execution = getattr(task.request, EXECUTION, None)
    if not isinstance(execution, OwnedExecution) or exc is None:
        return
    if execution.returns_saved or isinstance(exc, limits.FINAL_ERRORS):
        raise exc


def note_final_error(task: RunTask, exc: Exception) -> None:
    """``Task.retry`` raised something else than Retry: no retry is left, ``exc`` is the outcome."""
    execution = getattr(task.request, EXECUTION, None)
    if isinstance(exc, (Retry, Reject, Ignore)) or not isinstance(execution, OwnedExecution):
        return
    if not execution.open and not execution.returns_saved:
        ending.fail_for_good(execution, exc)
