"""Messages as they travel: capturing one to send it again, and sending it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kombu import Producer
from kombu.exceptions import OperationalError
from kombu.utils import json as kombu_json

from celery_graceful.errors import CorruptRecord, PublishUncertain

__all__ = [
    "CHECKPOINT",
    "GENERATION",
    "RAW",
    "Envelope",
    "broker_identity",
    "capture",
    "pack",
    "publish",
    "unpack",
]

#: Header names.
GENERATION, CHECKPOINT = "graceful_generation", "graceful_checkpoint"
#: Where :class:`~celery_graceful._celery.request.RunRequest` puts the raw body for the pool child.
RAW = "graceful_raw"

_PROPERTIES = ("correlation_id", "reply_to", "delivery_mode", "priority", "user_id", "app_id")
#: What brokers add to the headers of a delivery.
_OF_DELIVERY = (
    "redelivered",
    "x-death",
    "x-delivery-count",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
)
#: Exchanges of Celery's native delayed delivery; the key ends with the routing key proper.
_DELAYED = "celery_delayed_"


@dataclass(frozen=True, slots=True)
class Envelope:
    """All that is needed to publish a run's message again, byte for byte."""

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
        for name in (CHECKPOINT, *_OF_DELIVERY):
            headers.pop(name, None)
        headers.update(eta=None, expires=None)
        headers[GENERATION] = generation
        if checkpoint is not None:
            headers[CHECKPOINT] = checkpoint
        return replace(self, headers=headers)


def capture(request: Any, broker: str) -> Envelope | None:
    """The envelope of the message behind a task's request; ``None`` if it came from none."""
    properties = request.properties or {}
    raw = properties.get(RAW)
    if raw is None:
        return None
    body, content_type, content_encoding, headers = raw
    info = request.delivery_info or {}
    exchange, routing_key = info.get("exchange") or "", info.get("routing_key") or ""
    if exchange.startswith(_DELAYED):
        exchange, routing_key = "", routing_key.rsplit(".", 1)[-1]
    return Envelope(
        body=bytes(body) if not isinstance(body, str) else body.encode(),
        content_type=content_type,
        content_encoding=content_encoding,
        headers=headers,
        properties={k: properties[k] for k in _PROPERTIES if properties.get(k) is not None},
        exchange=exchange,
        routing_key=routing_key,
        broker=broker,
    )


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
        read = kombu_json.loads(head[1:]) if head[:1] == b"k" else json.loads(head)
        envelope = Envelope(body=body, **read)
        texts = (envelope.exchange, envelope.routing_key, envelope.broker, envelope.content_type)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a name is no text")
        if not isinstance(envelope.headers, dict) or not isinstance(envelope.properties, dict):
            raise TypeError("headers or properties are no mapping")
        return envelope
    except (ValueError, TypeError) as exc:
        shown = base64.b64encode(data[:60]).decode()
        raise CorruptRecord(f"the saved message of a run cannot be read ({exc}): {shown}") from exc


def broker_identity(app: Any) -> str:
    """Names the broker and virtual host of an app, without user or password."""
    connection = app.connection_for_write()
    transport = connection.transport.driver_type
    host = connection.hostname or "localhost"
    port = connection.port or connection.transport.default_port or ""
    return f"{transport}://{host}:{port}/{connection.virtual_host or ''}"


def publish(app: Any, envelope: Envelope, *, timeout: float) -> None:
    """Send a message on a connection of its own, and know that the broker has it.

    AMQP brokers confirm it, and return it when no queue takes it; Redis answers the push.

    Args:
        app: the Celery app.
        envelope: what to send.
        timeout: seconds for connecting, and again for the confirmation.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached; nothing was sent.
        PublishUncertain: the connection broke, or the broker refused, while sending.
    """
    with app.connection_for_write(connect_timeout=timeout) as connection:
        amqp = connection.transport.driver_type == "amqp"
        if amqp:
            connection.transport_options = {
                **(connection.transport_options or {}),
                "confirm_publish": True,
            }
        _connect(connection, envelope, timeout)
        try:
            _send(app, connection, envelope, mandatory=amqp, timeout=timeout)
        except PublishUncertain:
            raise
        except Exception as exc:
            raise PublishUncertain(
                f"the broker {envelope.broker} did not confirm the message for "
                f"{envelope.headers.get('task')}[{envelope.headers.get('id')}] "
                f"(exchange {envelope.exchange!r}, key {envelope.routing_key!r}): {exc!r}"
            ) from exc


def _connect(connection: Any, envelope: Envelope, timeout: float) -> None:
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
    except OperationalError:
        raise
    except Exception as exc:  # a wrong password or virtual host, say
        raise OperationalError(f"the broker {envelope.broker} lets nobody in: {exc!r}") from exc


def _check_route(app: Any, channel: Any, envelope: Envelope) -> None:
    """kombu's own exchanges drop what they cannot route, and know only what was declared."""
    lookup = getattr(channel, "_lookup", None)
    if lookup is None or not envelope.exchange:
        return
    for queue in app.amqp.queues.values():
        if queue.exchange is not None and queue.exchange.name == envelope.exchange:
            queue.bind(channel).declare()
    queues = lookup(envelope.exchange, envelope.routing_key)
    if not [queue for queue in queues if queue != channel.deadletter_queue]:
        raise PublishUncertain(
            f"no queue takes the message for {envelope.headers.get('task')}"
            f"[{envelope.headers.get('id')}]: exchange {envelope.exchange!r}, key "
            f"{envelope.routing_key!r}"
        )


def _send(
    app: Any, connection: Any, envelope: Envelope, *, mandatory: bool, timeout: float
) -> None:
    returned: list[str] = []

    def on_return(exc: Exception, exchange: Any, routing_key: str, message: Any) -> None:
        returned.append(str(exc))

    channel = connection.channel()
    _check_route(app, channel, envelope)
    producer = Producer(channel, auto_declare=False, on_return=on_return if mandatory else None)
    headers = dict(envelope.headers)
    extra: dict[str, Any] = {"confirm_timeout": timeout} if mandatory else {}
    producer.publish(
        envelope.body,
        exchange=envelope.exchange,
        routing_key=envelope.routing_key,
        content_type=envelope.content_type,
        content_encoding=envelope.content_encoding,
        compression=headers.pop("compression", None),
        headers=headers,
        mandatory=mandatory,
        retry=False,
        **{"priority": 0, **envelope.properties},
        **extra,
    )
    if returned:
        raise PublishUncertain(
            f"the broker returned the message for {headers.get('task')}[{headers.get('id')}]: no "
            f"queue takes exchange {envelope.exchange!r} with key {envelope.routing_key!r} "
            f"({returned[0]})"
        )
