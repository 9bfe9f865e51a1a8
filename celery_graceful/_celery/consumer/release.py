"""Making a stopping worker's consumer take no more messages."""

from __future__ import annotations

import logging
import time
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from celery_graceful._celery.consumer.late_messages import name_late_messages

logger = logging.getLogger("celery_graceful.worker")

#: How long one look at the connection waits, and all of them together, in seconds.
_LOOK, _BOUND = 0.2, 1.0


def stop_consuming(worker: Any) -> bool:
    """Cancel the worker's consumer and wait for the message that may be on its way.

    On Redis a BRPOP in flight still pops a message after the cancel, which would then sit in the
    socket of a process about to die; so events are drained until no channel polls. Returns
    whether the consumer is known to take no more.
    """
    consumer = getattr(worker, "consumer", None)
    task_consumer = getattr(consumer, "task_consumer", None)
    connection = getattr(consumer, "connection", None)
    try:
        if task_consumer is not None:
            task_consumer.cancel()
        if connection is None:
            return True
        if task_consumer is not None:
            name_late_messages(connection, [queue.name for queue in task_consumer.queues])
        _repair_poller(worker, connection)
        return _drain(connection)
    except Exception as exc:
        # A broken connection delivers nothing more either: its messages go back to the broker.
        logger.warning("Could not drain the broker connection while stopping: %r", exc)
        return False


def _repair_poller(worker: Any, connection: Any) -> None:
    """Celery 5.5 closes the loop's poller when the loop ends, and kombu drains Redis with it."""
    cycle: Any = getattr(connection.transport, "cycle", None)
    hub = getattr(worker, "hub", None)
    if hub is None or getattr(cycle, "poller", None) in (None, hub.poller):
        return
    cycle.poller = hub.poller
    for channel in polling(connection):
        cycle._register(channel, channel.client, "BRPOP")


def wake_poll(worker: Any) -> None:
    """End the BRPOP a stopping worker on Redis waits in, so that it need not wait it out.

    Celery looks at its stop flag when the poll returns, up to a second later, and waits for the
    poll once more when it closes the channel. Called from a thread of its own, on a connection of
    its own. Where the server does not allow it, the worker stops as slowly as without us.
    """
    connection = getattr(getattr(worker, "consumer", None), "connection", None)
    if connection is None or not getattr(worker, "use_eventloop", False):
        return
    try:
        for channel in polling(connection):
            _unblock(channel)
    except Exception as exc:
        logger.debug("Could not end the poll for messages: %r", exc)


def notice_lost_connection(worker: Any, hub: Any, every: float) -> None:
    """Have an AMQP worker look every so many seconds whether it is still connected.

    The event loop hears of a loss from its socket. When somebody else has read the broker's
    farewell, as Celery does in its first turn (``_quick_drain`` drops the error), the socket is
    gone and the loop waits for ever. Seen on Celery 5.7 with a worker that was stopped by SIGSTOP
    while its connection was closed: deaf until the next heartbeat that failed.
    """

    def look() -> None:
        connection = getattr(worker.consumer, "connection", None)
        if connection is not None and not connection.connected:
            raise RecoverableConnectionError("the connection was closed, and nobody was told")

    if getattr(worker.consumer.connection.transport, "driver_type", "") == "amqp":
        hub.call_repeatedly(every, look)


def _unblock(channel: Any) -> None:
    socket = getattr(channel._in_poll, "_sock", None)
    name = socket.getsockname() if socket is not None else None
    if not isinstance(name, tuple):
        return
    host, port = name[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with channel.conn_or_acquire() as client:
        for other in client.client_list():
            if other.get("addr") == address:
                client.client_unblock(int(other["id"]))


def _drain(connection: Any) -> bool:
    until = time.monotonic() + _BOUND
    while polling(connection):
        if time.monotonic() >= until:
            return False
        try:
            connection.drain_events(timeout=_LOOK)
        except TimeoutError:
            continue
    return True


def polling(connection: Any) -> list[Any]:
    """The channels of a Redis connection that wait for the answer to a BRPOP."""
    transport = getattr(connection, "transport", None)
    cycle = getattr(transport, "cycle", None)
    channels = getattr(cycle, "_channels", None) or ()
    return [channel for channel in tuple(channels) if getattr(channel, "_in_poll", None)]
