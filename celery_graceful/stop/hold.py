"""Whether the maintenance mode asks the current task to leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery import current_task

from celery_graceful.model.maintenance.held import Held
from celery_graceful.model.maintenance.routes import Binding, queue_of
from celery_graceful.stop.flag import StopFlag


def bindings(app: Any) -> Iterator[Binding]:
    """How messages come into the queues that an app knows."""
    for name, queue in app.amqp.queues.items():
        for bound in queue.bindings or (queue,):
            yield Binding(name, getattr(bound.exchange, "name", "") or "", bound.routing_key or "")


def queue_of_delivery(app: Any, delivery_info: Any) -> str:
    """The queue of a message with this ``delivery_info``."""
    info = delivery_info or {}
    exchange, key = info.get("exchange") or "", info.get("routing_key") or ""
    return queue_of(bindings(app), exchange, key)


def has_to_leave(flag: StopFlag, task: str, queue: str) -> bool:
    """Whether a ``task`` from ``queue`` that runs in the flag's worker has to leave."""
    text = flag.mode_snapshot.read()
    return text != b"" and Held.decode(text).covers(task, queue)


def current_task_has_to_leave(flag: StopFlag) -> bool:
    """The same for the task that runs here and now."""
    task: Any = current_task
    if not flag.mode_snapshot or not task or task.request.called_directly:
        return False
    return has_to_leave(flag, task.name, queue_of_delivery(task.app, task.request.delivery_info))
