"""How many messages wait in queues of the broker, where that is cheap to ask."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import ref

from amqp.exceptions import NotFound
from kombu.exceptions import ChannelError

from celery_graceful._celery.message.brokers import connect, limit_silence
from celery_graceful.text.masking import mask_text

logger = logging.getLogger("celery_graceful.runs")

#: Transports that answer from memory, in one round trip for each queue.
CHEAP = ("redis", "amqp", "memory")
#: More queues than this are not asked about.
MOST_QUEUES = 20


class QueueLengths:
    """Asks one app's broker how long queues are, on a connection that it keeps.

    The broker is asked in a thread, so that a broker that says nothing holds up nobody. While it
    has not answered, it is not asked again.

    Args:
        app: the Celery app.
    """

    def __init__(self, app: Any) -> None:
        self._app = ref(app)  # whoever keeps these by their apps must not keep the apps
        self._lock = threading.Lock()
        self._connection: Any = None
        self._busy = False

    def of(self, queues: Iterable[str], timeout: float) -> dict[str, int]:
        """The number of messages in each of these queues that is known within ``timeout``.

        Args:
            queues: their names; the first :data:`MOST_QUEUES` are asked about.
            timeout: seconds.

        Returns:
            Queues without an answer are left out, whatever the reason: nothing depends on it.
        """
        names = list(dict.fromkeys(queues))[:MOST_QUEUES]
        with self._lock:
            if not names or self._busy:
                return {}
            self._busy = True
        found: dict[str, int] = {}
        done = threading.Event()
        thread = threading.Thread(
            target=self._ask,
            args=(names, timeout, found, done),
            name="graceful-queues",
            daemon=True,
        )
        thread.start()
        done.wait(timeout)
        return dict(found)

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if not self._busy:
                self._release()

    def _ask(
        self, names: Sequence[str], timeout: float, found: dict[str, int], done: threading.Event
    ) -> None:
        try:
            connection = self._connected(timeout)
            if connection is not None:
                for name in names:
                    found.update(_length(connection, name))
        except Exception as exc:  # of any transport; an unknown length is an answer
            logger.debug("The lengths of queues are not known: %s", mask_text(repr(exc)))
            self._release()
        finally:
            done.set()
            with self._lock:
                self._busy = False

    def _connected(self, timeout: float) -> Any:
        if self._connection is None:
            app = self._app()
            if app is None:
                return None
            connection = app.connection_for_read(connect_timeout=timeout)
            if connection.transport.driver_type not in CHEAP:
                return None
            limit_silence(connection, timeout)
            connect(connection, timeout)
            self._connection = connection
        return self._connection

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def _length(connection: Any, name: str) -> dict[str, int]:
    with connection.channel() as channel:
        size = getattr(channel, "_size", None)
        if size is not None:  # kombu's own transports; for them, an empty list of Redis is no queue
            return {name: int(size(name))}
        try:
            return {name: int(channel.queue_declare(name, passive=True).message_count)}
        except (NotFound, ChannelError):
            return {}
