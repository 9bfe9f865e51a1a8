"""Messages as they travel: capturing one, to send it again later."""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kombu.utils import json as kombu_json
from kombu.utils.encoding import safe_repr

from celery_graceful.errors import CorruptRecord
from celery_graceful.text.masking import mask_url

#: Header names. The third holds exchange, routing key and priority of a message that travels by
#: another way than its own, ahead of a backlog.
GENERATION, CHECKPOINT, HOME = "graceful_generation", "graceful_checkpoint", "graceful_home"
#: Header: the size of a checkpoint that was too large to travel with its message, in bytes.
LEFT_OUT = "graceful_left_out"
#: Header: the fence of the execution that sent the message while the store was away. It ended
#: without telling the store, and the message's checkpoint is its last.
LEFT = "graceful_left"
#: Header: the message was parked while its run could not start; there may be another copy of it.
WAITED = "graceful_waited"
#: Where ``RunRequest`` puts the raw body for the pool child.
RAW = "graceful_raw"
#: Where it puts the moment at which the worker received the message, by :func:`uptime`.
RECEIVED = "graceful_received"
#: Where it puts the queue that the message came from, if the broker says it.
QUEUE = "graceful_queue"

#: What a message has beside its headers, and keeps.
PROPERTIES = ("correlation_id", "reply_to", "delivery_mode", "priority", "user_id", "app_id")
#: What brokers add to the headers of a delivery.
_OF_DELIVERY = (
    "redelivered",
    "x-death",
    "x-delivery-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
)
#: Exchanges of Celery's native delayed delivery; 28 levels come before the routing key proper.
_DELAYED = re.compile(r"(?:^|_)celery_delayed_")
_LEVELS = re.compile(r"^(?:[01]\.){28}")


#: A checkpoint travels with its message up to this size, in bytes; the store has it anyway.
HEADER_LIMIT = 32 * 1024
#: As in the model, which this room does not know.
MOST_GENERATIONS = 2**31 - 1
#: Priorities that a broker knows.
_PRIORITIES = 255
#: Bytes of a name in AMQP.
_NAME_LIMIT = 255

logger = logging.getLogger("celery_graceful.runs")


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
        for name in (CHECKPOINT, LEFT, LEFT_OUT, HOME, WAITED, *_OF_DELIVERY):
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


def travelling(checkpoint: str | None) -> dict[str, Any]:
    """The headers that carry a checkpoint, or that say that it was too large for that."""
    if checkpoint is None:
        return {}
    if len(checkpoint) > HEADER_LIMIT:
        return {LEFT_OUT: len(checkpoint)}
    return {CHECKPOINT: checkpoint}


def sent_home(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The ``delivery_info`` of a message's own way, if it came by another; else nothing."""
    home = headers.get(HOME)
    if not isinstance(home, (list, tuple)) or len(home) != 3:
        return {}
    exchange, routing_key, priority = home
    if not all(map(_is_name_or_none, (exchange, routing_key))) or not _is_priority(priority):
        return {}
    return dict(zip(("exchange", "routing_key", "priority"), home, strict=True))


def is_name(value: object) -> bool:
    """Whether a value can be the name of an exchange or queue: AMQP takes 255 bytes."""
    return isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= _NAME_LIMIT


def _is_name_or_none(value: object) -> bool:
    return value is None or is_name(value)


def _is_priority(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= _PRIORITIES)


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
    headers = {k: v for k, v in message.headers.items() if k not in _OF_DELIVERY}
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


def uptime() -> float:
    """Seconds on a clock that all processes of this host share, and that nobody sets.

    It goes on while the host sleeps, where the system has such a clock.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def generation_of(headers: Any) -> int:
    """The generation in a message's headers (anything with ``get``).

    0, as for a first message, when there is none or no such number: whatever a stranger wrote
    must not stop the worker, and an invitation too old is dropped.
    """
    value = headers.get(GENERATION)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if type(value) is int and 0 <= value <= MOST_GENERATIONS:
        return value
    if value is not None:
        logger.warning(
            "%.200r[%.200r] came with %s = %s, which is no generation: taken for 0",
            headers.get("task"),
            headers.get("id"),
            GENERATION,
            safe_repr(value)[:100],
        )
    return 0


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
        if not _is_name_or_none(envelope.content_encoding):
            raise TypeError("the encoding is no text")
        if not isinstance(envelope.headers, dict) or not isinstance(envelope.properties, dict):
            raise TypeError("headers or properties are no mapping")
        if not _is_priority(envelope.properties.get("priority")):
            raise TypeError("the priority is none")
        return envelope
    except Exception as exc:  # kombu builds values of types that are named in the text
        shown = base64.b64encode(data[:60]).decode()
        raise CorruptRecord(f"the saved message of a run cannot be read ({exc}): {shown}") from exc


def broker_identity(app: Any) -> str:
    """Names the broker and virtual host of an app, without user or password.

    Some transports of kombu take the whole URL for the host, password included.
    """
    connection = app.connection_for_write()
    transport = connection.transport.driver_type
    host = connection.hostname or "localhost"
    if "://" in host or "@" in host:
        host = mask_url(host)
    port = connection.port or connection.transport.default_port or ""
    return f"{transport}://{host}:{port}/{connection.virtual_host or ''}"


def broker_shown(app: Any) -> str:
    """The same for people: it tells TLS, as ``rediss://`` or ``amqps://``.

    The identity does not: a broker is the same one with and without.
    """
    scheme, sep, rest = broker_identity(app).partition("://")
    connection = app.connection_for_write()
    secured = connection.ssl or str(connection.transport_cls) == f"{scheme}s"
    return f"{scheme}{'s' if secured else ''}{sep}{rest}"
