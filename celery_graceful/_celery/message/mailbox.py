"""Sending to workers and asking them over the broker, without ever waiting for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from kombu import Producer
from kombu.exceptions import OperationalError

from celery_graceful._celery.message.brokers import connect, connection_for_write, limit_silence
from celery_graceful.text.masking import mask_text
from celery_graceful.time_limits import within

Answer = TypeVar("Answer")


def tell(
    app: Any,
    command: str,
    arguments: dict[str, Any],
    *,
    timeout: float,
    destination: Sequence[str] | None = None,
) -> None:
    """Broadcast a control command.

    Args:
        destination: node names; ``None``: all workers of the broker.
        timeout: seconds after which the broker counts as away.

    Raises:
        kombu.exceptions.OperationalError: the broker did not take it.
    """

    def send() -> None:
        with _mailbox(app, timeout) as mailbox:
            mailbox._broadcast(command, arguments, _nodes(destination))

    _bounded(2 * timeout, send)


def ask(
    app: Any,
    command: str,
    *,
    timeout: float,
    quiet: float,
    destination: Sequence[str] | None = None,
) -> list[tuple[str, Any]]:
    """The answers to an inspect command, by node name; several nodes may have one name.

    Args:
        destination: node names; ``None``: all workers of the broker.
        timeout: seconds after which the broker counts as away.
        quiet: seconds without an answer after which no more are waited for.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """

    def answers() -> list[dict[str, Any]]:
        with _mailbox(app, timeout) as mailbox:
            found: list[dict[str, Any]] = mailbox._broadcast(
                command, {}, _nodes(destination), reply=True, timeout=quiet
            )
            return found

    replies = _bounded(2 * timeout + 10 * quiet, answers)
    # Anybody can answer, with anything.
    pairs = [pair for reply in replies or [] if isinstance(reply, dict) for pair in reply.items()]
    return [(node, answer) for node, answer in pairs if isinstance(node, str)]


def listen(app: Any, event: str, *, timeout: float, seconds: float) -> frozenset[str]:
    """The node names of workers that send an event of this kind within some seconds.

    Args:
        event: its type, such as ``worker-heartbeat``.
        timeout: seconds after which the broker counts as away.
        seconds: how long to listen.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """

    def heard() -> frozenset[str]:
        found: set[str] = set()
        until = time.monotonic() + seconds
        with _connection(app, timeout) as connection:
            receiver = app.events.Receiver(
                connection, handlers={event: lambda sent: found.add(str(sent.get("hostname")))}
            )
            with receiver.consumer_context():
                while (left := until - time.monotonic()) > 0:
                    with suppress(TimeoutError):
                        connection.drain_events(timeout=min(left, 1.0))
        return frozenset(found)

    return _bounded(2 * timeout + 2 * seconds, heard)


def _nodes(destination: Sequence[str] | None) -> list[str] | None:
    return None if destination is None else list(destination)


def _bounded(seconds: float, call: Callable[[], Answer]) -> Answer:
    """Any broker, with errors of its own."""
    try:
        return within(seconds, call)
    except Exception as exc:
        raise OperationalError(mask_text(str(exc) or repr(exc))) from exc


@contextmanager
def _mailbox(app: Any, timeout: float) -> Iterator[Any]:
    """Celery's mailbox on a connection of its own.

    Celery's own way publishes on a pooled connection and repeats that without end.
    """
    with _connection(app, timeout) as connection:
        mailbox = app.control.mailbox(connection)
        mailbox.producer_or_acquire = _once
        yield mailbox


@contextmanager
def _connection(app: Any, timeout: float) -> Iterator[Any]:
    with connection_for_write(app, timeout) as connection:
        limit_silence(connection, timeout)
        connect(connection, timeout)
        yield connection


class _Once:
    """A producer that does not repeat what fails."""

    def __init__(self, channel: Any) -> None:
        self._producer: Any = Producer(channel, auto_declare=False)

    def publish(self, body: Any, **options: Any) -> Any:
        return self._producer.publish(body, **{**options, "retry": False})


@contextmanager
def _once(producer: Any = None, channel: Any = None) -> Iterator[Any]:
    yield producer or _Once(channel)
