"""Messages of runs that cannot start on this worker: parked, and sent back when they may.

Kept in the worker they would fill its prefetch window, and plain tasks would wait behind them.
Rejected they would come again at once, and quorum queues drop what was delivered too often.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.message.parking_queue import Lot
from celery_graceful._celery.message.wire import WAITED
from celery_graceful.runtime import Runtime
from celery_graceful.text.counting import counted
from celery_graceful.worker.parking.other_workers import AskingOthers
from celery_graceful.worker.parking.sending_back import SendingBack

logger = logging.getLogger("celery_graceful.runs")

#: The notice that says who empties the parking queue, and until when nobody else does.
CLAIM = "parked-runs"
#: Seconds after which what was parked for its own sake is tried again.
AGAIN = 60.0


def lot_for_runs(app: Any, broker: str, timeout: float) -> Lot:
    """The parking queue of an app's runs.

    Its name depends on no setting: a worker whose settings are wrong parks messages as well.
    """
    name = f"{app.main or 'celery'}.graceful.waiting"
    return Lot(app, name, broker, timeout=timeout, headers={WAITED: True})


class RunParking:
    """What one worker does with messages of runs that it cannot start.

    Args:
        runtime: of the app.
        worker: names the worker.
        stays: whether messages of a task wait for another worker, whatever the store does.
        can_start: whether this worker can start runs now.
        others: other workers, to be asked while this one cannot.
    """

    def __init__(
        self,
        runtime: Runtime,
        worker: str,
        stays: Callable[[str], bool],
        can_start: Callable[[], bool],
        others: AskingOthers,
    ) -> None:
        self._lot = lot_for_runs(runtime.app, runtime.broker, runtime.settings.release_timeout)
        self._stays = stays
        self._can_start = can_start
        self._others = others
        self.sending_back = SendingBack(
            runtime, worker, self._lot, stays, claim=CLAIM, while_=can_start
        )
        #: When what was parked here is tried again (monotonic); ``None``: nothing was.
        self._again_at: float | None = None
        self._connected = False

    def park(self, requests: list[Any]) -> list[Any]:
        """Park messages; returns the requests of those that could not be. Where tasks are consumed.

        A copy is sent before the message is acknowledged. After a crash in between there are two,
        of which admission drops one.
        """
        if not requests:
            return []
        parked = self._lot.put(requests)
        for request in parked:
            request.acknowledge()
            unstarted.forget(request)
        if parked:
            logger.warning(
                "Parked %s that cannot start here (%s first) in %s",
                counted(len(parked), "iterable task"),
                parked[0].name,
                self._lot.name,
            )
        self._plan(parked)
        done = {id(request) for request in parked}
        return [request for request in requests if id(request) not in done]

    def _plan(self, parked: list[Any]) -> None:
        for_later = [request for request in parked if not self._stays(request.type)]
        if self._can_start() and any(not request.postponed_alone for request in for_later):
            self.can_start_again()  # the store was away, and was back before they were parked
        elif for_later and not self._can_start():
            self._others.soon()
        elif for_later:
            # Others may be able to: of the version that has written the run's record, say.
            if self._again_at is None:
                self._again_at = time.monotonic() + AGAIN
            self._others.soon()

    @property
    def others_needed(self) -> bool:
        """Whether other workers have to run what was parked here."""
        return self._again_at is not None or not self._can_start()

    def close(self) -> None:
        """Nothing is parked for now. Where tasks are consumed."""
        self._lot.close()

    def can_start_again(self) -> None:
        """Runs may start here from now on: send back what waits. Any thread."""
        self._again_at = None
        if self._connected:
            self.sending_back.if_any()

    def connected(self) -> None:
        """The broker can be reached. At a worker's start others may have left messages."""
        if not self._connected:
            self._connected = True
            if self._can_start():
                self.sending_back.if_any()

    def try_again(self, now: float) -> None:
        """Called every few seconds, in any thread; ``now`` is in monotonic seconds."""
        if self._again_at is None or now < self._again_at:
            return
        self._again_at = None
        if self._can_start():
            self.sending_back.soon()
        else:
            self._others.soon()

    def asked(self) -> None:
        """Another worker, which cannot start runs, has parked some. Any thread."""
        if self._can_start():
            self.sending_back.soon()
