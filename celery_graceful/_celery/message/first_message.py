"""A task's first message, sent as ``apply_async`` sends it, and seen just before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kombu.serialization import dumps

from celery_graceful._celery.message.envelope import PROPERTIES, Envelope


class WatchedProducer:
    """A producer that shows what it is about to publish for the first time.

    Args:
        producer: kombu's, which publishes.
        broker: the broker's name, without credentials.
        seen: called with the message; what it raises keeps the message from being sent.
    """

    def __init__(self, producer: Any, broker: str, seen: Callable[[Envelope], object]) -> None:
        self._producer = producer
        self._broker = broker
        self._seen: Callable[[Envelope], object] | None = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def publish(self, body: Any, **options: Any) -> Any:
        seen, self._seen = self._seen, None  # the next one is an event of Celery's
        if seen is not None:
            seen(_envelope(body, options, self._broker))
        return self._producer.publish(body, **options)


def _envelope(body: Any, options: Mapping[str, Any], broker: str) -> Envelope:
    content_type, encoding, data = dumps(body, options.get("serializer"))
    headers = dict(options.get("headers") or {})
    if options.get("compression"):
        headers["compression"] = options["compression"]
    exchange = options.get("exchange") or ""
    return Envelope(
        body=data if isinstance(data, bytes) else data.encode(encoding),
        content_type=content_type,
        content_encoding=encoding,
        headers=headers,
        properties={k: options[k] for k in PROPERTIES if options.get(k) is not None},
        exchange=str(getattr(exchange, "name", exchange)),
        routing_key=str(options.get("routing_key") or ""),
        broker=broker,
    )


def send_watched(
    task: Any,
    args: Any,
    kwargs: Any,
    *,
    broker: str,
    seen: Callable[[Envelope], object],
    **options: Any,
) -> Any:
    """``task.apply_async(args, kwargs, **options)``; ``seen`` gets the message before it is sent.

    Raises:
        TypeError: the arguments do not fit the task.
        kombu.exceptions.OperationalError: the broker cannot be reached.
        Exception: whatever ``seen`` raises.
    """
    with task.app.producer_or_acquire() as producer:
        watched = WatchedProducer(producer, broker, seen)
        return task.apply_async(args, kwargs, producer=watched, **options)
