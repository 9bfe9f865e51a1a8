"""Messages as they travel: one is captured, kept as bytes, and sent again later."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kombu.utils import json as kombu_json

from celery_graceful._celery.message.headers import (
    CHECKPOINT,
    GENERATION,
    HOME,
    LEFT,
    LEFT_OUT,
    OF_DELIVERY,
    QUEUE,
    RAW,
    WAITED,
    is_name_or_none,
    is_priority,
    sent_home,
    travelling,
)
from celery_graceful.errors import CorruptRecord

#: What a message has beside its headers, and keeps.
PROPERTIES = ("correlation_id", "reply_to", "delivery_mode", "priority", "user_id", "app_id")
#: Exchanges of Celery's native delayed delivery; 28 levels come before the routing key proper.
_DELAYED = re.compile(r"(?:^|_)celery_delayed_")
_LEVELS = re.compile(r"^(?:[01]\.){28}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """All that is needed to publish a run's message again, byte for byte."""

    #: Not compressed, whatever the headers say: kombu does that when it receives and sends.
    body: bytes
    content_type: str
    content_encoding: str
    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    exchange: str
    routing_key: str
    #: The broker it belongs to, without credentials.
    broker: str

    def continued(self, generation: int, checkpoint: str | None) -> Envelope:
        """The same message for another generation, to start at once and never to expire."""
        headers = dict(self.headers)
        for name in (CHECKPOINT, LEFT, LEFT_OUT, HOME, WAITED, *OF_DELIVERY):
            headers.pop(name, None)
        headers.update(eta=None, expires=None)
        headers[GENERATION] = generation
        headers.update(travelling(checkpoint))
        return replace(self, headers=headers)

    def left_by(self, fence: int) -> Envelope:
        """The same message, sent by the execution with this fence while the store was away."""
        return replace(self, headers={**self.headers, LEFT: fence})

    def moved(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> Envelope:
        """The same message by another way, with these headers."""
        return replace(self, exchange=exchange, routing_key=routing_key, headers=headers)

    def by_way_of(self, queue: str | None, priority: int | None) -> Envelope:
        """The same message by another queue, or with another priority; it knows its way home."""
        home = [self.exchange, self.routing_key, self.properties.get("priority")]
        properties = dict(self.properties)
        if priority is not None:
            properties["priority"] = priority
        moved = replace(self, headers={**self.headers, HOME: home}, properties=properties)
        return moved if queue is None else replace(moved, exchange="", routing_key=queue)

    def adjusted(self, queue: str, priority: int | None) -> Envelope:
        """The same message, whose own way leads into this queue, with this priority, from here on.

        Args:
            queue: empty: its own stays.
            priority: ``None``: its own stays.
        """
        moved = replace(self, exchange="", routing_key=queue) if queue else self
        if priority is None:
            return moved
        return replace(moved, properties={**self.properties, "priority": priority})

    def at_home(self) -> Envelope:
        """The same message by its own way, if it came by another."""
        home = sent_home(self.headers)
        if not home:
            return self
        headers = {name: value for name, value in self.headers.items() if name != HOME}
        properties = {k: v for k, v in self.properties.items() if k != "priority"}
        if home["priority"] is not None:
            properties["priority"] = home["priority"]
        moved = self.moved(home["exchange"], home["routing_key"], headers)
        return replace(moved, properties=properties)


def capture(request: Any, broker: str) -> Envelope | None:
    """The envelope of the message behind a task's request; ``None`` if it came from none."""
    properties = request.properties or {}
    raw = properties.get(RAW)
    if raw is None:
        return None
    body, content_type, content_encoding, headers = raw
    exchange, routing_key = _proper_way(request.delivery_info, properties.get(QUEUE))
    own = {**properties, **_priority_at_home(headers)}
    return Envelope(
        body=bytes(body) if not isinstance(body, str) else body.encode(),
        content_type=content_type,
        content_encoding=content_encoding,
        headers=headers,
        properties={k: own[k] for k in PROPERTIES if own.get(k) is not None},
        exchange=exchange,
        routing_key=routing_key,
        broker=broker,
    )


def envelope_of(message: Any, broker: str, queue: str | None = None) -> Envelope:
    """The envelope of a message as it was delivered, whatever its task is.

    Args:
        message: kombu's message.
        broker: the broker's name, without credentials.
        queue: the queue it came from, if that is known.
    """
    properties = message.properties or {}
    exchange, routing_key = _proper_way(message.delivery_info, queue)
    headers = {k: v for k, v in message.headers.items() if k not in OF_DELIVERY}
    body = message.body
    return Envelope(
        body=body.encode() if isinstance(body, str) else bytes(body),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=headers,
        properties={k: properties[k] for k in PROPERTIES if properties.get(k) is not None},
        exchange=exchange,
        routing_key=routing_key,
        broker=broker,
    )


def _proper_way(delivery_info: Any, queue: str | None) -> tuple[str, str]:
    """Exchange and routing key by which a message comes into its queue, and waits no more."""
    info = delivery_info or {}
    exchange, routing_key = info.get("exchange") or "", info.get("routing_key") or ""
    if not _DELAYED.search(exchange):
        return exchange, routing_key
    if queue:
        return "", queue
    # Without levels, this exchange sends it on as if it had waited.
    return exchange, _LEVELS.sub("", routing_key)


def _priority_at_home(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sent_home(headers).items() if name == "priority"}


def pack(envelope: Envelope) -> bytes:
    """Write an envelope as bytes: a JSON line, then the body as it is."""
    head = {
        "content_type": envelope.content_type,
        "content_encoding": envelope.content_encoding,
        "headers": dict(envelope.headers),
        "properties": dict(envelope.properties),
        "exchange": envelope.exchange,
        "routing_key": envelope.routing_key,
        "broker": envelope.broker,
    }
    try:
        return json.dumps(head).encode() + b"\n" + envelope.body
    except TypeError:  # headers with datetimes and the like: kombu's JSON brings them back
        return b"k" + kombu_json.dumps(head).encode() + b"\n" + envelope.body


def unpack(data: bytes) -> Envelope:
    """Read what :func:`pack` wrote; raises :exc:`~celery_graceful.errors.CorruptRecord`."""
    head, _, body = data.partition(b"\n")
    try:
        # Not strictly: what its sender put into a header, infinite or not, is to travel again.
        read = kombu_json.loads(head[1:]) if head[:1] == b"k" else json.loads(head)
        envelope = Envelope(body=body, **read)
        texts = (envelope.exchange, envelope.routing_key, envelope.broker, envelope.content_type)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a name is no text")
        if not is_name_or_none(envelope.content_encoding):
            raise TypeError("the encoding is no text")
        if not isinstance(envelope.headers, dict) or not isinstance(envelope.properties, dict):
            raise TypeError("headers or properties are no mapping")
        if not is_priority(envelope.properties.get("priority")):
            raise TypeError("the priority is none")
        return envelope
    except Exception as exc:  # kombu builds values of types that are named in the text
        shown = base64.b64encode(data[:60]).decode()
        raise CorruptRecord(f"the saved message of a run cannot be read ({exc}): {shown}") from exc
