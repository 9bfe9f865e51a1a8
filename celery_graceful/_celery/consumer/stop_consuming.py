"""Making a consumer take no more messages: a stopping worker's, or of queues that are closed.

On Redis a BRPOP in flight still pops a message after the cancel, which would then sit in the socket
of a process about to die. Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from celery_graceful._celery.worker_parts import connection_of, loop_of, task_consumer_of

logger = logging.getLogger("celery_graceful.worker")

#: How long one check of the connection waits, and all of them together, in seconds.
_LOOK, _BOUND = 0.2, 1.0


def stop_consuming(worker: Any) -> bool:
    """Cancel the worker's consumer and wait for the message that may be on its way.

    Returns:
        Whether the consumer is known to take no more.
    """
    task_consumer, connection = task_consumer_of(worker), connection_of(worker)
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


def wake_poll(worker: Any) -> None:
    """End the BRPOP a stopping worker on Redis waits in, so that it need not wait it out.

    Celery checks its stop flag when the poll returns, up to a second later, and waits for the
    poll once more when it closes the channel. Called from a thread of its own, on a connection of
    its own. Where the server does not allow it, the worker stops as slowly as without us.
    """
    connection = connection_of(worker)
    if connection is None or loop_of(worker) is None:
        return
    try:
        for channel in polling(connection):
            _unblock(channel)
    except Exception as exc:
        logger.debug("Could not end the poll for messages: %r", exc)


def polling(connection: Any) -> list[Any]:
    """The channels of a Redis connection that wait for the answer to a BRPOP."""
    cycle = getattr(getattr(connection, "transport", None), "cycle", None)
    channels = getattr(cycle, "_channels", None) or ()
    return [channel for channel in tuple(channels) if getattr(channel, "_in_poll", None)]


def name_late_messages(connection: Any, queues: Iterable[str]) -> None:
    """Have the log name what comes for a queue after its cancel, until it is consumed again.

    kombu's own transports (Redis, SQS, memory) give such a message back by themselves, and log
    "Requeuing undeliverable message" without its name.

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
        callbacks.setdefault(queue, _LateCallback(queue, reject))


class _LateCallback:
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


def _repair_poller(worker: Any, connection: Any) -> None:
    """Celery 5.5 closes the loop's poller when the loop ends, and kombu drains Redis with it."""
    cycle: Any = getattr(connection.transport, "cycle", None)
    hub = loop_of(worker)
    if hub is None or getattr(cycle, "poller", None) in (None, hub.poller):
        return
    cycle.poller = hub.poller
    for channel in polling(connection):
        cycle._register(channel, channel.client, "BRPOP")


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
