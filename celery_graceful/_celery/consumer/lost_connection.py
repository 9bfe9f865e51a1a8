"""A consumer that has lost its connection: noticing it, and closing what is left of it.

**Redis**, with a poll for messages outstanding: to close a channel, kombu first reads the answer to
its BRPOP. If that connection is lost as well, the read fails and the channel stays open. Celery 5.7
then closes the connection a second time, now without its transport: kombu restores the
unacknowledged messages, asks ``None`` for its ``hostname``, and the ``AttributeError`` ends the
worker with exit code 1. One running task that acknowledges late is enough, so any iterable task,
when the pub/sub connection is the first to report the loss. Seen with Celery 5.7.0 and kombu 5.7.0,
without this package too: 7 of 10 broker restarts. Similar:
https://github.com/celery/kombu/issues/582. Tried on Celery 5.5 to 5.7.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from celery_graceful._celery.consumer.stop_consuming import polling
from celery_graceful._celery.worker_parts import connection_of

logger = logging.getLogger("celery_graceful.worker")

#: How long to wait for the answer on a connection that still stands, in seconds: longer than the
#: server lets a poll wait (a second, or the transport option ``polling_interval``), since a message
#: that it sends to a connection closed just now is lost. No longer than Celery 5.7 itself waits.
_SPARE, _LONGEST = 0.5, 5.0


def end_polls_before_closing(consumer: Any) -> None:
    """Have a worker's consumer end its polls before it closes a lost connection.

    Args:
        consumer: Celery's consumer, not yet started.
    """
    close = consumer.on_connection_error_after_connected

    def on_connection_error_after_connected(exc: Exception) -> None:
        try:
            _end_polls(consumer.connection)
        finally:
            close(exc)

    consumer.on_connection_error_after_connected = on_connection_error_after_connected


def _end_polls(connection: Any) -> None:
    for channel in polling(connection):
        socket = getattr(channel._in_poll, "_sock", None)
        try:
            if socket is not None:
                socket.settimeout(min((channel.brpop_timeout or _LONGEST) + _SPARE, _LONGEST))
            channel._brpop_read()  # delivers the message if there is one; the poll ends either way
        except Empty:
            pass
        except (*connection.connection_errors, *connection.channel_errors) as exc:
            logger.debug("The poll for messages ended with its connection: %r", exc)
        except Exception:
            logger.warning("The poll for messages could not be ended", exc_info=True)


def notice_lost_connection(worker: Any, hub: Any, every: float) -> None:
    """Have an AMQP worker look every so many seconds whether it is still connected.

    The event loop hears of a loss from its socket. When somebody else has read the broker's
    farewell, as Celery does in its first turn (``_quick_drain`` drops the error), the socket is
    gone and the loop waits for ever. Seen on Celery 5.7 with a worker that was stopped by SIGSTOP
    while its connection was closed: deaf until the next heartbeat that failed.
    """

    def look() -> None:
        connection = connection_of(worker)
        if connection is not None and not connection.connected:
            raise RecoverableConnectionError("the connection was closed, and nobody was notified")

    if getattr(worker.consumer.connection.transport, "driver_type", "") == "amqp":
        hub.call_repeatedly(every, look)
