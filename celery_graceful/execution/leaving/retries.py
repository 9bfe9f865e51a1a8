"""Retries of a run: the checkpoint is saved before Celery publishes the message."""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

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
from celery_graceful.execution.leaving.ways_out import (
    drop_lost_run,
    end_by_operator,
    lasted_seconds,
)
from celery_graceful.execution.owned import OwnedRun, owned_run
from celery_graceful.execution.stopping import base_exceptions
from celery_graceful.model.run.cursor import encode
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.model.run_options import read_adjustments

if TYPE_CHECKING:
    from celery_graceful.execution.run_task import RunTask

logger = logging.getLogger("celery_graceful.runs")


def run_to_retry(task: RunTask, task_id: str | None) -> OwnedRun | None:
    """The run whose own successor is being published: the message has its task id."""
    request = task.request
    if task_id is None or request.called_directly or request.id != task_id:
        return None
    return owned_run(request)


def retry_through(
    run: OwnedRun,
    args: Any,
    kwargs: Any,
    options: dict[str, Any],
    publish: Callable[..., Any],
) -> Any:
    """Publish a retry of the run, once its checkpoint is saved.

    Inside the loop nobody knows yet how far it came, so the message waits until the loop is left.
    """
    run.retry_options = {"args": args, "kwargs": kwargs, **options}
    run.send_retry = publish
    if not run.open:
        send(run)
    return run.task.AsyncResult(run.key.id)


def send(run: OwnedRun) -> None:
    """Publish the retry that was asked for in the loop, if there was one."""
    options, publish = run.retry_options, run.send_retry
    if options is None or publish is None:
        return
    run.retry_options = run.send_retry = None
    if run.flag.raised:
        run.flag.wait_released(run.ticket.runtime.settings.release_timeout)
    try:
        decision = run.ticket.wait(
            encode(run.execution.checkpoint),
            run.execution.steps,
            "retry",
            _delay(options),
            lasted_seconds(run),
            run.last_error,
        )
    except StoreUnavailable as exc:
        raise ExecutionLeft(str(exc), run.ticket.fence) from exc
    if decision.verdict is Verdict.REFUSED:
        drop_lost_run(run)
    if decision.verdict is not Verdict.PUBLISH:
        end_by_operator(run)
    headers = dict(options.get("headers") or {})
    for name in (CHECKPOINT, LEFT, LEFT_OUT, HOME):
        headers.pop(name, None)
    headers.update(travelling(run.ticket.record.checkpoint))
    headers[GENERATION] = run.ticket.record.generation
    headers["parent_id"] = run.request.parent_id  # Celery would make a root task its own parent
    options["headers"] = headers
    _send_where_adjusted(run, options)
    _when_retry_is_stored(run, partial(_publish, run, partial(publish, **options)))


def _send_where_adjusted(run: OwnedRun, options: dict[str, Any]) -> None:
    """An operator may have given the run another way since its message came."""
    adjusted = read_adjustments(run.ticket.record.adjusted)
    if adjusted.queue:
        options["queue"] = adjusted.queue
        for name in ("exchange", "routing_key"):
            options.pop(name, None)
    if adjusted.priority is not None:
        options["priority"] = adjusted.priority


def _when_retry_is_stored(run: OwnedRun, publish: Callable[[], None]) -> None:
    """Publish when Celery has stored RETRY, and called ``task_retry`` and ``on_retry``.

    The next execution may end the run at once, and RETRY must not replace its outcome.
    """
    delivery = delivery_of(run.request)
    if delivery is None:
        publish()
        return
    delivery.stores = Stores.UNFINISHED
    # With the context of the run, from which tracing packages take their headers.
    delivery.afterwards.append(partial(contextvars.copy_context().run, publish))


def _publish(run: OwnedRun, publish: Callable[[], object]) -> None:
    limit_stores(run.request, Stores.NONE)
    try:
        publish()
    except Exception as exc:
        # ``Task.retry`` would reject the message and fail the task; the run is not lost.
        _warn_not_sent(run, exc)
    except BaseException as exc:
        if base_exceptions.is_stop(exc, run.flag, run.request):
            raise
        _warn_not_sent(run, exc)


def _warn_not_sent(run: OwnedRun, exc: BaseException) -> None:
    logger.error(
        "%s: the retry could not be published; a worker does it one lease after it was due: %s",
        run.key,
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
