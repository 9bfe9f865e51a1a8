"""Making a stopping worker's consumer take no more messages."""

from __future__ import annotations

import logging
import time
from typing import Any

__all__ = ["stop_consuming"]

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
        return connection is None or _drain(connection)
    except Exception as exc:
        # A broken connection delivers nothing more either: its messages go back to the broker.
        logger.warning("Could not drain the broker connection while stopping: %r", exc)
        return False


def _drain(connection: Any) -> bool:
    until = time.monotonic() + _BOUND
    while _polling(connection):
        if time.monotonic() >= until:
            return False
        try:
            connection.drain_events(timeout=_LOOK)
        except TimeoutError:
            continue
    return True


def _polling(connection: Any) -> bool:
    transport = getattr(connection, "transport", None)
    cycle = getattr(transport, "cycle", None)
    channels = getattr(cycle, "_channels", None) or ()
    return any(getattr(channel, "_in_poll", None) for channel in tuple(channels))
