"""What the workers of an app do, as pages show it: read from the store, asked over the broker.

The store is read when a page is asked for. Asking the workers, and the doctor, take seconds: a
thread does it, for as long as somebody looks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread

from celery_graceful.errors import MaintenanceEnded
from celery_graceful.maintenance import barrier_wait, broker_replies, mode_changes
from celery_graceful.maintenance.barrier import BarrierState, WorkerState
from celery_graceful.maintenance.broker_replies import BrokerReplies
from celery_graceful.maintenance.mode_changes import Reading
from celery_graceful.maintenance.workers import known_workers
from celery_graceful.model.maintenance.mode import Mode, without_ended
from celery_graceful.runtime import Runtime
from celery_graceful.text.masking import mask_text
from celery_graceful.views.fleet.examination import Examined, examine_app

logger = logging.getLogger("celery_graceful.maintenance")

#: The thread ends when nobody has looked for so many seconds.
IDLE = 10.0
#: Seconds between two readings of the mode: a page that shows workers needs them more often.
READ_EVERY = 3.5
#: Seconds between two questions to the workers; and where some do not report, or a ``down`` is to
#: be proved.
ASK_EVERY, ASK_SOON = 15.0, 4.0
#: Seconds between two examinations by the doctor.
EXAMINE_EVERY = 60.0
_ROUND = 0.2
_DOUBTFUL = (WorkerState.CUT_OFF, WorkerState.GONE)
#: Before the first answers.
_NOT_YET = BrokerReplies(trouble="the workers are being asked")


@dataclass(frozen=True, slots=True)
class FleetState:
    """The maintenance mode and the workers at one moment."""

    mode: Mode
    #: The store's time, in Unix seconds.
    now: float
    barrier: BarrierState
    #: Whether it is proved that nothing that is held runs, as by ``down --wait``.
    complete: bool
    #: Whether workers have been asked over the broker.
    asked: bool


class Fleet:
    """The workers of one app. Safe to share between threads.

    Args:
        runtime: makes the app's runtime.
        in_thread: whether a thread asks by itself; else :meth:`round` does, in tests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        *,
        in_thread: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._in_thread = in_thread
        self._clock = clock
        self._reading: Reading | None = None
        self._read_at = float("-inf")
        self._lock = Lock()
        self._thread: Thread | None = None
        self._looked_at = self._doctor_wanted_at = float("-inf")
        self._asked_at = self._examined_at = float("-inf")
        self._replies = _NOT_YET
        self._last: FleetState | None = None
        #: The version of the mode under which nothing that is held was seen to run.
        self._complete = -1
        self._examined: Examined | None = None

    # -- pages ----------------------------------------------------------------------------------

    def look(self) -> FleetState:
        """The workers now: a call of the store, or two.

        Raises:
            StoreUnavailable: the store did not answer.
            CorruptRecord: the mode cannot be read.
        """
        runtime = self._runtime()
        reading = self._read(runtime)
        barrier = barrier_wait.look(runtime, reading.mode, self._replies)
        if barrier.blocks:
            self._complete = -1  # a worker has come that does not follow the mode
        complete = reading.mode.down and self._complete == reading.mode.version
        asked = self._replies is not _NOT_YET
        self._last = FleetState(reading.mode, reading.now, barrier, complete, asked)
        self._looked_at = self._clock()
        self._run_thread()
        return self._last

    def forget(self) -> None:
        """The mode was changed here: it is read anew at the next look."""
        self._read_at = float("-inf")

    def _read(self, runtime: Runtime) -> Reading:
        """The mode as it was read in the last seconds, at the store's present time."""
        now = self._clock()
        if self._reading is None or now - self._read_at >= READ_EVERY:
            self._reading, self._read_at = mode_changes.read(runtime), now
        at = self._reading.now + (now - self._read_at)
        return Reading(without_ended(self._reading.mode, at), at)

    def examined(self) -> Examined | None:
        """What the doctor has found lately; ``None``: it is about to look."""
        self._doctor_wanted_at = self._clock()
        return self._examined

    # -- the thread -----------------------------------------------------------------------------

    def _run_thread(self) -> None:
        with self._lock:
            if self._in_thread and self._thread is None:
                self._thread = Thread(target=self._run, name="graceful-fleet", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self.round()
            with self._lock:
                if self._clock() - self._looked_at > IDLE:
                    self._thread = None
                    return
            time.sleep(_ROUND)

    def round(self) -> None:
        """Ask what has to be asked now; no error ends the thread."""
        try:
            self._ask()
            self._examine()
        except Exception as exc:
            logger.warning(
                "The workers could not be looked at: %s", mask_text(str(exc) or repr(exc))
            )

    def _ask(self) -> None:
        last, since = self._last, self._clock() - self._asked_at
        if last is None or since < ASK_SOON:
            return
        doubtful = any(worker.state in _DOUBTFUL for worker in last.barrier.workers)
        unproved = last.mode.down and not last.complete and last.barrier.clear
        if since < ASK_EVERY and not (doubtful or unproved):
            return
        runtime = self._runtime()
        try:
            if unproved and self._replies is not _NOT_YET:
                self._prove(runtime, last.mode)
            else:
                known = known_workers(runtime.store)
                self._replies = broker_replies.ask_workers(runtime, known, self._replies)
        finally:
            self._asked_at = self._clock()

    def _prove(self, runtime: Runtime, mode: Mode) -> None:
        """The last look of a ``down --wait``: silence counts as proof after some seconds only."""
        barrier = barrier_wait.Barrier(runtime, mode, [hold.scope for hold in mode.holds])
        try:
            state = barrier.look()
        except MaintenanceEnded:
            return  # the next page shows what holds now
        self._replies = barrier.replies
        if state is not None and state.clear:
            self._complete = mode.version

    def _examine(self) -> None:
        now = self._clock()
        if now - self._doctor_wanted_at > IDLE or now - self._examined_at < EXAMINE_EVERY:
            return
        try:
            self._examined = examine_app(self._runtime())
        finally:
            self._examined_at = self._clock()
