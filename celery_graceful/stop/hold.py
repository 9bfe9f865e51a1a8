"""The queue a message came from, and whether maintenance asks the current task to stop.

Celery's request does not say it. By default a queue's name is its routing key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from celery import current_task

from celery_graceful.model.maintenance.held import Held
from celery_graceful.stop.flag import StopFlag

#: Exchanges of Celery's native delayed delivery; levels come before the routing key proper.
_DELAYED = "celery_delayed_"
_LEVELS = re.compile(r"^(?:[01]\.)+")


class Binding(NamedTuple):
    """How messages come into a queue."""

    queue: str
    exchange: str
    key: str


def queue_of(bindings: Iterable[Binding], exchange: str, routing_key: str) -> str:
    """The queue that a message with this exchange and routing key is in.

    Where a message goes to several queues, as with topics, the first is named.
    """
    if exchange.startswith(_DELAYED):
        exchange, routing_key = "", _LEVELS.sub("", routing_key)
    if not exchange:
        return routing_key
    for binding in bindings:
        if binding.exchange == exchange and _matches(binding.key, routing_key):
            return binding.queue
    return routing_key


def _matches(pattern: str, key: str) -> bool:
    if pattern == key:
        return True
    if "*" not in pattern and "#" not in pattern:
        return False
    words = {"*": r"[^.]+", "#": r".*"}
    parts = [words.get(word, re.escape(word)) for word in pattern.split(".")]
    return re.fullmatch(r"\.".join(parts).replace(r"\..*", r"(?:\..*)?"), key) is not None


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


def has_to_stop(flag: StopFlag, task: str, queue: str) -> bool:
    """Whether maintenance asks a ``task`` from ``queue`` in the flag's worker to stop."""
    text = flag.mode_snapshot.read()
    return text != b"" and Held.decode(text).covers(task, queue)


def current_task_has_to_stop(flag: StopFlag) -> bool:
    """The same for the task that runs here and now."""
    task: Any = current_task
    if not flag.mode_snapshot or not task or task.request.called_directly:
        return False
    return has_to_stop(flag, task.name, queue_of_delivery(task.app, task.request.delivery_info))
