"""Pools without processes: what they do with a task that raises no ``Exception``.

``apply_target`` makes a ``WorkerLostError`` of it and passes that to the callback for successes,
which cannot read it and raises TypeError: the message stays with the worker, and the task counts
as active until the worker ends. Seen on Celery 5.5 to 5.7 with threads, gevent and solo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.worker.state import task_ready

from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.pool.kind import kind_of_pool


def report_base_exceptions(pool: Any) -> None:
    """Have a pool without processes report what Celery would leave without an end.

    A run fails. A plain task is left to Celery, and no longer counts as active: a stopping worker
    would wait for it for ever.

    Args:
        pool: Celery's pool; one with child processes, which report such tasks, is left alone.
    """
    if kind_of_pool(pool).children:
        return
    apply = pool.on_apply

    def on_apply(target: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        callback = options.get("callback")
        if callback is not None:
            options["callback"] = _reporting(callback)
        return apply(target, args, kwargs, **options)

    pool.on_apply = on_apply


def _reporting(callback: Callable[..., Any]) -> Callable[..., Any]:
    def called(result: Any, **options: Any) -> Any:
        if not isinstance(result, ExceptionInfo):
            return callback(result, **options)
        request = getattr(callback, "__self__", None)
        if isinstance(request, RunRequest):
            request.raised_here = True
            return request.on_failure(result)
        if request is not None:
            task_ready(request)
        return callback(result, **options)

    return called
