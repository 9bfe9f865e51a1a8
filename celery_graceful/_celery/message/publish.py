"""Sending messages so that it is known whether the broker has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from amqp.exceptions import NotFound
from kombu import Producer, Queue
from kombu.exceptions import ChannelError, OperationalError
from kombu.serialization import dumps

from celery_graceful._celery.message.bodies import task_and_id
from celery_graceful._celery.message.brokers import connect, connection_for_write, limit_silence
from celery_graceful._celery.message.envelope import PROPERTIES, Envelope
from celery_graceful.errors import PublishUncertain, Unroutable
from celery_graceful.text.masking import mask_text, mask_url


class Sender:
    """A connection of its own for sending; call it with an envelope.

    AMQP brokers confirm a message, and return it when no queue takes it; Redis answers the push.
    After an uncertain send the next one connects anew.

    Args:
        app: the Celery app.
        timeout: seconds for connecting, and again for the confirmation.
        bounded: whether a broker that says nothing for ``timeout`` raises.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached; nothing was sent.
    """

    def __init__(self, app: Any, *, timeout: float, bounded: bool = False) -> None:
        self._app = app
        self._timeout = timeout
        self._bounded = bounded
        self._connection: Any = None

    def __enter__(self) -> Sender:
        self._connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, envelope: Envelope) -> None:
        """Send a message.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached; nothing was sent.
            Unroutable: no queue takes the message; it was not kept.
            PublishUncertain: the connection broke, or the broker refused, while sending.
        """
        if self._connection is None:
            self._connect()
        try:
            _send(self._app, self._connection, envelope, timeout=self._timeout)
        except Unroutable:
            raise
        except Exception as exc:
            self.close()
            kind = Unroutable if isinstance(exc, NotFound) else PublishUncertain
            raise kind(
                f"the broker {mask_url(envelope.broker)} did not confirm the message for "
                f"{_name(self._app, envelope)} ({_route(envelope)}): {mask_text(repr(exc))}"
            ) from exc

    def check(self) -> None:
        """Ask the broker for an answer, whatever it is.

        Raises:
            kombu.exceptions.OperationalError: there is none.
        """
        name = self._app.conf.task_default_queue
        try:
            if self._connection is None:
                self._connect()
            with self._connection.channel() as channel:
                Queue(name, channel=channel).queue_declare(passive=True)
        except (NotFound, ChannelError):
            self.close()  # an answer, after which AMQP closes the channel
        except OperationalError:
            self.close()
            raise
        except Exception as exc:
            self.close()
            raise OperationalError(f"the broker does not answer: {mask_text(repr(exc))}") from exc

    def declare(self, queue: str) -> None:
        """Make sure that a durable queue of this name exists; as it is, if it does.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached, or refuses.
        """
        try:
            if self._connection is None:
                self._connect()
            self._declare(queue)
        except OperationalError:
            raise
        except Exception as exc:
            self.close()
            raise OperationalError(
                f"the queue {queue} cannot be declared: {mask_text(repr(exc))}"
            ) from exc

    def _declare(self, queue: str) -> None:
        with self._connection.channel() as channel:
            try:
                Queue(queue, routing_key=queue, channel=channel).queue_declare(passive=True)
                return
            except (NotFound, ChannelError):
                pass  # RabbitMQ has closed the channel
        with self._connection.channel() as channel:
            Queue(queue, routing_key=queue, channel=channel).queue_declare()

    def _connect(self) -> None:
        connection = connection_for_write(self._app, self._timeout)
        if self._bounded:
            limit_silence(connection, self._timeout)
        if connection.transport.driver_type == "amqp":
            options = connection.transport_options or {}
            connection.transport_options = {**options, "confirm_publish": True}
        try:
            connect(connection, self._timeout)
        except OperationalError:
            connection.release()
            raise
        except Exception as exc:  # a wrong password or virtual host, say
            at = mask_url(connection.as_uri())
            connection.release()
            raise OperationalError(
                f"the broker {at} lets nobody in: {mask_text(repr(exc))}"
            ) from exc
        self._connection = connection

    def close(self) -> None:
        """Close the connection; the next message opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def publish(app: Any, envelope: Envelope, *, timeout: float) -> None:
    """Send one message; see :class:`Sender`."""
    with Sender(app, timeout=timeout) as send:
        send(envelope)


def _name(app: Any, envelope: Envelope) -> str:
    task, task_id = task_and_id(app, envelope)
    return f"{task}[{task_id}]"


def _route(envelope: Envelope) -> str:
    return f"exchange {envelope.exchange!r}, key {envelope.routing_key!r}"


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
        raise Unroutable(
            f"no queue takes the message for {_name(app, envelope)}: {_route(envelope)}"
        )


def _properties(envelope: Envelope) -> dict[str, Any]:
    """Those that a message has; others of a record would be options of the publish."""
    given = {k: v for k, v in envelope.properties.items() if k in PROPERTIES}
    return {"priority": 0, **given}


def _send(app: Any, connection: Any, envelope: Envelope, *, timeout: float) -> None:
    returned: list[str] = []

    def on_return(exc: Exception, exchange: Any, routing_key: str, message: Any) -> None:
        returned.append(str(exc))

    mandatory = connection.transport.driver_type == "amqp"
    with connection.channel() as channel:
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
            **_properties(envelope),
            **extra,
        )
    if returned:
        raise Unroutable(
            f"the broker returned the message for {_name(app, envelope)}: no queue takes exchange "
            f"{envelope.exchange!r} with key {envelope.routing_key!r} ({returned[0]})"
        )


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
