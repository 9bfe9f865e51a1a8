"""From which queue a message came, told from its exchange and routing key.

Celery's request does not say it. By default a queue's name is its routing key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

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
