"""Keeping a Redis broker from delivering again what a living worker still holds.

Kombu notes each delivery with its time in a sorted set, and whoever consumes puts back what is
older than the visibility timeout: also messages of tasks that still run, wait for their ETA, or
were prefetched. So a thread renews these times while the worker lives. Only entries that are there
are renewed (``XX``): what was acknowledged meanwhile does not come back. Tried on kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from celery.worker import state as _typed_state

from celery_graceful._celery.threads.native import native_sleep, snapshot, start_native_thread
from celery_graceful._celery.worker_parts import connection_of, task_consumer_of

state: Any = _typed_state

logger = logging.getLogger("celery_graceful.worker")

#: Times are renewed this often before a message would be delivered again, and after this many
#: seconds at the latest.
_PER_TIMEOUT, _LATEST = 3, 60.0
#: How many messages one command to Redis names.
_CHUNK = 1000
#: How long Redis may take for an answer, and how long the thread sleeps at most, in seconds.
_PATIENCE, _NAP = 5.0, 0.5
#: An event loop that stands still for as many seconds (or for a visibility timeout, if that is
#: longer) will not come to what it holds: others may.
_STUCK = 60.0


class Renewals:
    """Renews the times of all messages that one worker holds; does nothing unless on Redis.

    Failures are logged once and tried again; they never reach the worker.

    Args:
        worker: Celery's worker, whose consumer may come and go.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._connection = _OwnConnection()
        self._clock = _Clock()
        self._turned: float | None = None
        self._timer: Any = None
        self._troubled = self._stopping = False

    def start(self) -> None:
        """Begin, in a thread of its own: a broker that falls silent must not hold up another."""
        start_native_thread(self._run)

    def stop(self) -> None:
        """End the thread at its next look."""
        self._stopping = True

    def watch(self, hub: Any) -> None:
        """Renew only while this event loop turns; called again after each reconnect."""
        self.unwatch()
        self._turn()
        self._timer = hub.call_repeatedly(1.0, self._turn)

    def unwatch(self) -> None:
        """The worker stops: its event loop has ended, and its tasks go on."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._turned = None

    def _turn(self) -> None:
        self._turned = time.monotonic()

    # -- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                pause = self._renew()
            except _NotRedis:
                break
            except Exception as exc:
                pause = 1.0
                self._connection.close()
                self._tell(exc)
            self._sleep(pause)
        self._connection.close()

    def _renew(self) -> float:
        """Renew once; returns the seconds until the next time."""
        channel = getattr(task_consumer_of(self._worker), "channel", None)
        connection = connection_of(self._worker)
        if channel is None or connection is None:
            return 1.0  # not connected
        if not getattr(channel, "unacked_index_key", None) or not channel.ack_emulation:
            raise _NotRedis
        timeout = float(channel.visibility_timeout)
        self._check_turning(timeout)
        tags = _held(channel)
        for some in _chunks(tags):
            client = self._connection.client(connection)
            client.zadd(channel.unacked_index_key, dict.fromkeys(some, self._clock()), xx=True)
        if tags:
            self._tell(None)
        return max(0.1, min(timeout / _PER_TIMEOUT, _LATEST))

    def _tell(self, error: Exception | None) -> None:
        """Log that it does not work, or works again: once each."""
        if error is not None and not self._troubled:
            logger.warning(
                "The broker may deliver messages of this worker's tasks again: their times cannot"
                " be renewed, trying again: %r",
                error,
            )
        elif error is None and self._troubled:
            logger.warning("The broker's times of this worker's messages are kept again")
        self._troubled = error is not None

    def _check_turning(self, timeout: float) -> None:
        turned = self._turned
        if turned is None:
            return
        stood = time.monotonic() - turned
        if stood > max(timeout, _STUCK):
            raise RuntimeError(f"the worker's event loop has not turned for {stood:.0f} s")

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            native_sleep(min(left, _NAP))


class _NotRedis(Exception):
    """The transport has no visibility timeout that could be renewed."""


class _Clock:
    """The time of this host, as kombu takes it, which never goes back: a score that decreases
    when the host's clock is set back would look overdue to all others."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def __call__(self) -> float:
        now = time.monotonic()
        self._ahead = max(self._ahead, time.time() - now)
        return now + self._ahead


class _OwnConnection:
    """A copy of the worker's connection, for one thread: with gevent none can be shared."""

    def __init__(self) -> None:
        self._of: Any = None
        self._copy: Any = None
        self._channel: Any = None

    def client(self, connection: Any) -> Any:
        """A Redis client that does what the transport options say, key prefix included."""
        if self._of is not connection:
            self.close()
            timeouts = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
            options = {**(connection.transport_options or {}), **timeouts}
            self._copy = connection.clone(
                transport_options=options, alternates=_of_one_server(connection)
            )
            self._channel = self._copy.channel()
            self._of = connection
        return self._channel.client

    def close(self) -> None:
        copy, self._of, self._copy, self._channel = self._copy, None, None, None
        if copy is not None:
            try:
                copy.release()
            except Exception as exc:
                logger.debug("Could not close the connection that renews times: %r", exc)


def _of_one_server(connection: Any) -> list[str]:
    """The URLs that lead to the server of ``connection``; not those of others, to which kombu would
    turn without a word, and which hold none of its messages."""
    return [url for url in connection.alt if str(url).startswith("sentinel://")]


def _held(channel: Any) -> list[str]:
    """The delivery tags of what the worker has not acknowledged.

    After a loss of the connection, running tasks still have messages of a channel that is gone.
    """
    tags = [r.message.delivery_tag for r in snapshot(state.active_requests) if not r.acknowledged]
    qos = getattr(channel, "_qos", None)
    if qos is not None:
        tags += [tag for tag in snapshot(qos._delivered) if tag not in qos._dirty]
    return list(dict.fromkeys(tags))


def _chunks(tags: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(tags)
    while some := list(islice(rest, _CHUNK)):
        yield some
