"""Messages of runs that cannot start on this worker: parked, and sent back when they can.

Kept in the worker they would fill its prefetch window, and plain tasks would wait behind them.
Rejected they would come again at once, and quorum queues drop what was delivered too often.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.message.brokers import broker_identity
from celery_graceful._celery.message.headers import WAITED
from celery_graceful._celery.message.parking_queue import Lot, unknown_queue
from celery_graceful._celery.threads.native import native_lock
from celery_graceful.runs.lost.left_messages import save_left
from celery_graceful.runtime import Runtime, namespace_in
from celery_graceful.text.counting import counted
from celery_graceful.worker.maintenance.peers import HelpFromPeers, Peers
from celery_graceful.worker.parking.unparking import Unparker, move, without

logger = logging.getLogger("celery_graceful.runs")

#: The notice that names the worker that empties the parking queue, and until when.
CLAIM = "parked-runs"
#: Seconds after which what was parked for its own sake is tried again.
AGAIN = 60.0
#: For a worker whose settings are unknown: seconds for connecting to the broker and for each
#: confirmation, and until the next try.
TIMEOUT, RETRY = 3.0, 1.0


def queue_for_runs(
    app: Any, broker: str, timeout: float, queue_of: Callable[[Any], str | None] = unknown_queue
) -> Lot:
    """The parking queue of an app's runs.

    Its name depends on no setting: a worker whose settings are wrong parks messages as well.
    """
    name = f"{app.main or 'celery'}.graceful.waiting"
    return Lot(app, name, broker, timeout=timeout, headers={WAITED: True}, queue_of=queue_of)


class RunParking:
    """Parks messages of runs that this worker cannot start.

    Args:
        worker: names the worker.
        stays: whether messages of a task wait for another worker, whatever the store does.
        can_start: whether this worker can start runs now.
        peers: other workers, asked for help while this one cannot.
        queue_of: which queue a message came from, if that is known.
    """

    def __init__(
        self,
        runtime: Runtime,
        worker: str,
        stays: Callable[[str], bool],
        can_start: Callable[[], bool],
        peers: Peers,
        queue_of: Callable[[Any], str | None] = unknown_queue,
    ) -> None:
        timeout = runtime.settings.release_timeout
        self._queue = queue_for_runs(runtime.app, runtime.broker, timeout, queue_of)
        self._stays = stays
        self._can_start = can_start
        self._help = HelpFromPeers(peers, lambda: self._again_at is not None or not can_start())
        self.unparker = Unparker(
            runtime,
            worker,
            self._queue,
            stays,
            claim=CLAIM,
            before=partial(save_left, runtime),
            while_=can_start,
        )
        #: When what was parked here is tried again (monotonic); ``None``: nothing was.
        self._again_at: float | None = None
        self._connected = False

    @property
    def settled(self) -> bool:
        """Whether what was parked and can start has gone back to its queues."""
        return self._connected and not self.unparker.at_work

    def park(self, requests: list[Any]) -> list[Any]:
        """Park messages; returns those that could not be. In the thread that consumes.

        A copy is sent before the message is acknowledged. After a crash in between there are two,
        of which admission drops one.
        """
        if not requests:
            return []
        parked = move(self._queue.put, requests)
        if parked:
            logger.warning(
                "Parked %s that cannot start here (%s first) in %s",
                counted(len(parked), "iterable task"),
                parked[0].name,
                self._queue.name,
            )
        self._plan([request for request in parked if not self._stays(request.type)])
        return without(requests, parked)

    def _plan(self, for_later: list[Any]) -> None:
        if self._can_start() and any(not request.postponed_alone for request in for_later):
            self.can_start_again()  # the store came back before they were parked
        elif for_later:
            # Others may be able to: of the version that has written the run's record, say.
            if self._can_start() and self._again_at is None:
                self._again_at = time.monotonic() + AGAIN
            self._help.soon()

    def close(self) -> None:
        """Nothing is parked for now. In the thread that consumes."""
        self._queue.close()

    def can_start_again(self) -> None:
        """Runs may start here from now on: send back what is parked. Any thread."""
        self._again_at = None
        if self._connected:
            self.unparker.if_any()

    def connected(self) -> None:
        """The broker can be reached. At a worker's start others may have left messages."""
        if not self._connected:
            self._connected = True
            if self._can_start():
                self.unparker.if_any()

    def try_again(self, now: float) -> None:
        """Called every few seconds, in any thread; ``now`` is in monotonic seconds."""
        if self._again_at is None or now < self._again_at:
            return
        self._again_at = None
        if self._can_start():
            self.unparker.soon()
        else:
            self._help.soon()

    def asked(self) -> None:
        """Another worker, which cannot start runs, has parked some. Any thread."""
        if self._can_start():
            self.unparker.soon()


class RunParkingWithoutPlugin:
    """Parks all iterable tasks on a worker on which the plugin could not start.

    Args:
        worker: a worker that has its pool, and has no consumer yet.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._queue = queue_for_runs(worker.app, broker_identity(worker.app), TIMEOUT)
        peers = Peers(worker.app, namespace_in(worker.app), worker.hostname)
        self._help = HelpFromPeers(peers, lambda: True)
        # On some pools what was due later comes from the timer's thread.
        self._lock = native_lock()
        self._start = unstarted.intercept(worker, self._admit)

    def _admit(self, request: Any) -> None:
        if isinstance(request, RunRequest):
            self._park(request)
        else:
            self._start(request)

    def _park(self, request: Any) -> None:
        with self._lock:
            parked = move(self._queue.put, [request])
        if not parked:  # the log says why
            self._worker.timer.call_after(RETRY, self._park, (request,))
            return
        logger.warning("%s waits in the queue %s", request.name, self._queue.name)
        self._help.soon()
