"""The worker's event loop, turn by turn, while it stops and its tasks end.

Celery joins the pool instead: nobody reads the connection then, and a cold stop with a soft
timeout sleeps in a signal handler, where no acknowledgement and no heartbeat goes out.
Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from billiard.pool import CLOSE

from celery_graceful._celery.worker_parts import connection_of, processes_of

logger = logging.getLogger("celery_graceful.worker")

#: Seconds between two checks where there is no event loop.
_LOOK = 0.05
#: How long a turn of the event loop lasts at most, in seconds.
_TURN = 0.5


class Service:
    """Does what a worker's event loop does, but takes no messages.

    Args:
        worker: a worker whose consumer was cancelled.
        hub: its event loop, if it has one and this thread runs it.
    """

    def __init__(self, worker: Any, hub: Any) -> None:
        self._worker = worker
        self._hub = hub
        self._loop: Any = None
        self._disconnected = False
        if hub is None:
            return
        hub.call_repeatedly(_TURN, _nothing)
        if not self._pool_is_watched():
            self._watch_again()

    def hurry(self) -> None:
        """From now on no turn takes longer than a twentieth of a second."""
        if self._hub is not None:
            self._hub.call_repeatedly(_LOOK, _nothing)

    def be_awake_in(self, seconds: float) -> None:
        """Have no turn last longer than until then."""
        if self._hub is not None:
            self._hub.call_later(max(0.0, seconds), _nothing)

    def turn(self) -> None:
        """Hear what children and the broker say, do what is due; up to half a second."""
        if self._hub is None:
            time.sleep(_LOOK)
        else:
            self._turn_of_hub()
        self._bury_children()

    def _turn_of_hub(self) -> None:
        if self._loop is None:
            self._loop = self._hub.create_loop()
        try:
            next(self._loop)
        except StopIteration:
            self._loop = None
        except Exception as exc:
            self._loop = None
            self._go_on_without_broker(exc)

    def _pool_is_watched(self) -> bool:
        pool = processes_of(self._worker)
        pipes = getattr(pool, "_fileno_to_outq", None)
        return not pipes or any(pipe in self._hub.readers for pipe in tuple(pipes))

    def _watch_again(self) -> None:
        """Celery 5.5 forgets readers and timers when its loop ends, in whatever way."""
        self._watch_pool_again()
        connection = connection_of(self._worker)
        if connection is None or connection.transport.driver_type != "amqp":
            return
        connection.register_with_event_loop(self._hub)
        interval = connection.get_heartbeat_interval()
        if interval:
            self._hub.call_repeatedly(interval / 2, connection.heartbeat_check, (2,))

    def _go_on_without_broker(self, exc: Exception) -> None:
        """The pool's pipes are watched on; what was not acknowledged is the broker's again."""
        consumer = self._worker.consumer
        lost = isinstance(exc, (*consumer.connection_errors, *consumer.channel_errors, OSError))
        if self._disconnected and lost:
            time.sleep(_LOOK)  # a timer of the old connection, again and again
            return
        if not lost:
            logger.error("The event loop met an error while stopping", exc_info=exc)
            return
        self._disconnected = True
        logger.warning("The connection to the broker was lost while stopping: %r", exc)
        self._let_go_of_connection()
        self._hub.reset()
        self._watch_pool_again()

    def _watch_pool_again(self) -> None:
        self._worker.pool.register_with_event_loop(self._hub)
        pool = processes_of(self._worker)
        if not hasattr(pool, "on_timeout_set"):
            return
        for job in tuple(pool._cache.values()):
            if job.accepted() and not job.ready():
                pool._discard_tref(job._job)
                pool.on_timeout_set(job, *_limits_left(job))

    def _let_go_of_connection(self) -> None:
        """Else an AMQP message would be given back into a dead socket, without an error."""
        connection = connection_of(self._worker)
        if connection is not None and connection.transport.driver_type == "amqp":
            connection.collect(socket_timeout=_LOOK)

    def _bury_children(self) -> None:
        """A closed pool looks after dead children only in its join."""
        pool = processes_of(self._worker)
        if getattr(pool, "_state", None) == CLOSE and hasattr(pool, "_join_exited_workers"):
            pool._join_exited_workers()


def _limits_left(job: Any) -> tuple[float | None, float | None]:
    """How long a job has until its soft and its hard time limit; a soft one strikes once."""
    ran = time.monotonic() - job._time_accepted
    soft, hard = job._soft_timeout, job._timeout
    return (
        soft - ran if soft and soft > ran else None,
        max(0.01, hard - ran) if hard else None,
    )


def _nothing() -> None:
    pass
