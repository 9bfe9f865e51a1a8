"""A queue where messages wait that may not start, so that they hold up no others.

What is held and has a queue of its own to wait in goes there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from amqp.exceptions import NotFound
from kombu import Queue
from kombu.exceptions import ChannelError, OperationalError

from celery_graceful._celery.message.bodies import task_and_id
from celery_graceful._celery.message.brokers import connect, connection_for_write
from celery_graceful._celery.message.envelope import Envelope, envelope_of
from celery_graceful._celery.message.headers import is_name
from celery_graceful._celery.message.publish import Sender
from celery_graceful.errors import PublishUncertain, StoreError, Unroutable
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.maintenance")

#: The header that holds exchange and routing key of a parked message.
PARKED = "graceful_parked"
#: What a parking queue that does not exist raises: RabbitMQ, kombu's own transports.
_NO_QUEUE = (NotFound, ChannelError)


def unknown_queue(message: Any) -> None:
    """Which queue a message came from, where nobody knows."""


def unobserved(envelope: Envelope) -> None:
    """Nobody wants to know what is sent back."""


class Lot:
    """A parking queue of one app.

    Args:
        app: the Celery app.
        name: of the queue.
        broker: the broker's name, without credentials.
        timeout: seconds for connecting, and for each confirmation.
        headers: added to each message that is parked, and kept when it is sent back.
        queue_of: which queue a message came from, if the worker knows it.
    """

    def __init__(
        self,
        app: Any,
        name: str,
        broker: str,
        *,
        timeout: float,
        headers: Mapping[str, Any] | None = None,
        queue_of: Callable[[Any], str | None] = unknown_queue,
    ) -> None:
        self.name = name
        self._app = app
        self._broker = broker
        self._timeout = timeout
        self._headers = headers or {}
        self._queue_of = queue_of
        self._sender: Sender | None = None
        self._declared = False

    def put(self, requests: Iterable[Any]) -> list[Any]:
        """Send the messages behind ``requests`` here; returns the requests that are here now.

        The connection is kept for the next ones, until :meth:`close`.

        What could not be sent is logged. A message that is here and is then not
        acknowledged where it came from is in both places.
        """
        return self._send_each(requests, self._parked, f"parked in {self.name}")

    def send_home(self, requests: Iterable[Any]) -> list[Any]:
        """Send messages that came ahead of others to their own queues, in the same way."""
        return self._send_each(requests, Envelope.at_home, "sent to their own queues")

    def _send_each(
        self, requests: Iterable[Any], changed: Callable[[Envelope], Envelope], what: str
    ) -> list[Any]:
        sent: list[Any] = []
        try:
            send = self._connected(declare=changed == self._parked)
            for request in requests:
                envelope = self._read(request.message)
                if envelope is not None and self._arrives(changed(envelope), send, what):
                    sent.append(request)
        except (OperationalError, PublishUncertain) as exc:
            logger.error("Tasks that may not start could not be %s: %s", what, exc)
            self.close()
        return sent

    def _read(self, message: Any) -> Envelope | None:
        try:
            return envelope_of(message, self._broker, self._queue_of(message))
        except Exception as exc:  # whatever a stranger wrote: the others have to go their way
            logger.error("A message stays where it is, since it cannot be read: %.400r", exc)
            return None

    def _arrives(self, envelope: Envelope, send: Sender, what: str) -> bool:
        """Whether a queue took it; one that does not is no reason to keep the others."""
        try:
            send(envelope)
        except Unroutable as exc:
            logger.error("A task that may not start could not be %s: %s", what, exc)
            self._declared = False
            return False
        return True

    def close(self) -> None:
        """Close the connection, in the thread that has put messages here."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()

    def _connected(self, *, declare: bool) -> Sender:
        if self._sender is None:
            self._sender = Sender(self._app, timeout=self._timeout)
            self._declared = False
        if declare and not self._declared:
            self._sender.declare(self.name)
            self._declared = True
        return self._sender

    def waiting(self) -> int:
        """How many messages are here.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached, or refuses.
        """
        try:
            with (
                connection_for_write(self._app, self._timeout) as connection,
                _channel(connection, self._timeout) as channel,
            ):
                return _length(Queue(self.name, routing_key=self.name, channel=channel))
        except Exception as exc:  # of the transport
            raise OperationalError(mask_text(repr(exc))) from exc

    def empty(
        self, held: Callable[[str], bool], before: Callable[[Envelope], None] = unobserved
    ) -> tuple[int, int]:
        """Send all messages back to their queues, but those whose task is still ``held``.

        One that no queue takes any more stays as well, and so does one that cannot be read.

        Each is taken off only when it has arrived: after a crash at that moment it is in both
        places.

        Args:
            held: whether messages of a task stay.
            before: called with each message that is about to be sent back.

        Returns:
            How many were sent back, and how many stay.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached, or refuses.
            PublishUncertain: it did not confirm; what was not sent back is still here.
            StoreError: raised by ``before``.
        """
        try:
            return self._empty(held, before)
        except (OperationalError, PublishUncertain, StoreError):
            raise
        except Exception as exc:  # of the transport: the connection was lost, say
            raise OperationalError(mask_text(repr(exc))) from exc

    def _empty(
        self, held: Callable[[str], bool], before: Callable[[Envelope], None]
    ) -> tuple[int, int]:
        moved = kept = 0
        with (
            Sender(self._app, timeout=self._timeout) as send,
            connection_for_write(self._app, self._timeout) as connection,
            _channel(connection, self._timeout) as channel,
        ):
            queue = Queue(self.name, routing_key=self.name, channel=channel)
            unreadable = []
            for _ in range(_length(queue)):
                message = queue.get(no_ack=False)
                if message is None:
                    break
                envelope = self._read(message)
                if envelope is None:
                    unreadable.append(message)
                    continue
                try:
                    stays = self._stays(envelope, held, before, send)
                except StoreError:
                    message.requeue()  # not all transports do it when the channel is closed
                    raise
                message.ack()
                kept, moved = kept + stays, moved + (not stays)
            for message in unreadable:  # now: earlier, it might be the next to come again
                message.requeue()
        return moved, kept + len(unreadable)

    def _stays(
        self,
        envelope: Envelope,
        held: Callable[[str], bool],
        before: Callable[[Envelope], None],
        send: Sender,
    ) -> bool:
        """Send a message back, or to the end of the parking queue; whether it stays."""
        stays = held(task_and_id(self._app, envelope)[0])
        if not stays:
            before(envelope)
            stays = not _send_back(envelope, send)
        if stays:
            send(self._parked(envelope))
        return stays

    def _parked(self, envelope: Envelope) -> Envelope:
        where = [envelope.exchange, envelope.routing_key]
        headers = {PARKED: where, **envelope.headers, **self._headers}
        return envelope.moved("", self.name, headers)


def _channel(connection: Any, timeout: float) -> Any:
    connect(connection, timeout)
    return connection.channel()


def _length(queue: Any) -> int:
    try:
        return int(queue.queue_declare(passive=True).message_count)
    except _NO_QUEUE:
        return 0


def _send_back(envelope: Envelope, send: Sender) -> bool:
    """Whether there is still a queue that takes the message: it must not be in others' way."""
    headers = dict(envelope.headers)
    where = headers.pop(PARKED, None)
    if not isinstance(where, (list, tuple)) or len(where) != 2 or not all(map(is_name, where)):
        logger.error("A parked message stays, its %s says no queue: %.200r", PARKED, where)
        return False
    exchange, routing_key = where
    try:
        send(envelope.moved(exchange, routing_key, headers))
    except Unroutable as exc:
        logger.error("A parked message stays: %s", exc)
        return False
    return True
