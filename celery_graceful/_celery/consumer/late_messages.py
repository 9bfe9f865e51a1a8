"""Messages that come for a queue that is no longer consumed: a poll was under way.

kombu's own transports (Redis, SQS, memory) give such a message back by themselves, and say
"Requeuing undeliverable message" without telling which.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

logger = logging.getLogger("celery_graceful.worker")


def name_late_messages(connection: Any, queues: Iterable[str]) -> None:
    """Have the log say which message goes back, until a queue is consumed again.

    Args:
        connection: the consumer's connection.
        queues: the names of the queues that are no longer consumed.
    """
    transport = getattr(connection, "transport", None)
    callbacks = getattr(transport, "_callbacks", None)
    reject = getattr(transport, "_reject_inbound_message", None)
    if not isinstance(callbacks, dict) or reject is None:
        return  # a broker that knows its consumers

    for queue in queues:
        callbacks.setdefault(queue, _Late(queue, reject))


class _Late:
    """In place of a consumer's callback."""

    def __init__(self, queue: str, reject: Any) -> None:
        self._queue = queue
        self._reject = reject

    def __call__(self, raw: Any) -> None:
        logger.info(
            "%s goes back to its queue %s: it came when this worker no longer consumed",
            _name(raw),
            self._queue,
        )
        self._reject(raw)


def _name(raw: Any) -> str:
    headers = raw.get("headers") if isinstance(raw, dict) else None
    if not isinstance(headers, dict) or "task" not in headers:
        return "A message"
    return f"{headers['task']}[{headers.get('id')}]"
