"""What one worker does about maintenance, and what it reports."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery_graceful._celery.consumer import unstarted
from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.consumer.run_hooks import hooks_of
from celery_graceful._celery.pool.kind import pool_kind
from celery_graceful._celery.threads.native import native_lock
from celery_graceful._celery.worker_parts import connection_of, slots_of
from celery_graceful.maintenance.workers import MOST_BUSY, Busy, Report, report_every
from celery_graceful.model.maintenance.held import NOTHING, Held, held_by, slots_allowed
from celery_graceful.model.maintenance.mode import Mode
from celery_graceful.model.maintenance.mode_text import encode_mode
from celery_graceful.runtime import Runtime
from celery_graceful.stop.flag import StopFlag
from celery_graceful.tasks import former_names
from celery_graceful.worker.contained import failure_of
from celery_graceful.worker.details import DetailsReader, History
from celery_graceful.worker.maintenance.announce import Announcer
from celery_graceful.worker.maintenance.gate import Gate
from celery_graceful.worker.maintenance.known_mode import KnownMode
from celery_graceful.worker.maintenance.mode_watch import ModeWatch
from celery_graceful.worker.maintenance.peers import ModeFromPeers, Peers
from celery_graceful.worker.parking.run_parking import RunParking
from celery_graceful.worker.parking.task_parking import TaskParking
from celery_graceful.worker.parking.unparking import without

logger = logging.getLogger("celery_graceful.maintenance")

#: Seconds between two checks whether a ramp lets more through.
RAMP_TICK = 0.05


class MaintenanceController:
    """Puts the mode into force in one worker.

    Args:
        worker: a worker that has its pool, and has no consumer yet.
        forced: started with ``--maintenance-force``: it ignores maintenance.
        faulty: iterable tasks that are not written as they have to be.
    """

    def __init__(
        self,
        worker: Any,
        runtime: Runtime,
        flag: StopFlag,
        *,
        forced: bool,
        faulty: frozenset[str] = frozenset(),
    ) -> None:
        settings = runtime.settings
        self._pauses = settings.without_store == "pause"
        self.runtime = runtime
        self.forced = forced
        self._worker = worker
        self._began = time.monotonic()
        self._flag = flag
        self._lock = native_lock()
        self._exempt = settings.maintenance_exempt_queues
        self._renamed = former_names.renamed(runtime.app)
        #: What running tasks have to stop for.
        self._interrupting = NOTHING
        #: The plugin could not start: no run may begin, whatever the store says.
        self._runs_stopped = False
        #: The version of the mode that the gate was set to, and the last that it has carried out.
        self._version = self._in_force = -1
        #: What of the gate others wait for, as it was last reported.
        self._reported: tuple[int, int] | None = None
        self._ramping = False
        self._history = History()
        self._announcer = Announcer(worker)
        self._details = DetailsReader(worker, runtime)
        self.watch = ModeWatch(
            flag.worker,
            runtime.open_store,
            self.report,
            self._on_change,
            poll=report_every(settings),
            lease=settings.lease_ttl,
            follows=not forced,
            pauses=self._pauses,
        )
        peers = Peers(runtime.app, runtime.namespace, worker.hostname)
        self._from_peers = ModeFromPeers(peers, self.watch.learn, every=settings.lease_ttl)
        self.parking = TaskParking(runtime, flag.worker, self.held_by_name, self._queue_of)
        self.run_parking = RunParking(
            runtime,
            flag.worker,
            faulty.__contains__,
            lambda: self.starts_runs,
            peers,
            self._queue_of,
        )
        self.gate = Gate(
            worker, self._park, self.watch.look_since, self._on_settled, self._exempt, faulty
        )
        hooks_of(worker).postpone = self._postpone
        self._on_change()

    # -- what is held -----------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """The mode as it is known here, without what has ended by itself."""
        return self.watch.known.mode

    def held_for_all(self) -> Held:
        """What the mode holds for workers that are not forced."""
        return self._held(self.mode)

    def _held(self, mode: Mode, *, interrupting: bool = False) -> Held:
        held = held_by(mode, self._exempt, interrupting=interrupting)
        return held.under_all_names(self._renamed)

    def held_by_name(self, task: str) -> bool:
        """Whether a task is held by its name; nothing is while the mode is unknown."""
        return self.held_for_all().task(task)

    def _held_here(self, known: KnownMode) -> Held:
        if self.forced:
            return NOTHING
        if known.cut_off or (self._pauses and known.mode.version < 0):
            return Held(everything=True, exempt=self._exempt)
        return self._held(known.mode)

    def _on_change(self) -> None:
        """The mode has changed, in whatever thread learns of it."""
        with self._lock:
            could_start = not self.gate.runs_wait
            self._set_gate()
            mode = self.mode
            held = NOTHING if self.forced else self._held(mode, interrupting=True)
            if held != self._interrupting:
                self._interrupting = held
                self._flag.mode_snapshot.write(held.encode() if held else b"")
        self.parking.mode_changed(mode)
        if not (could_start or self.gate.runs_wait):
            self.run_parking.can_start_again()

    def _queue_of(self, message: Any) -> str | None:
        """Which queue a message came from, where the broker says it; for those that are parked."""
        return None if self.gate.intake is None else self.gate.intake.queue_by_tag(message)

    def _set_gate(self) -> None:
        known = self.watch.known
        wait = known.runs_wait or self._runs_stopped
        self.gate.set(self._held_here(known), self._allowed(), runs_wait=wait)
        self._version = known.mode.version

    def _on_settled(self) -> None:
        """The gate has carried out what is held; in the thread that consumes."""
        with self._lock:
            if self.gate.enforced == self.gate.number:
                self._in_force = self._version
        if not self.forced:
            running = [each for each in self.gate.begun() if each.time_start]
            self._announcer.announce(self.watch.known, len(running))
        if not self.gate.held.tasks:
            self.parking.close()
        if not self.gate.runs_wait:
            self.run_parking.close()
        if self.gate.allowed is not None and not self._ramping:
            self._ramping = True
            self._ramp()
        self._report_progress()

    # -- runs that cannot start here --------------------------------------------------------

    def _park(self, requests: list[Any]) -> list[Any]:
        runs = [request for request in requests if self.gate.cannot_start(request)]
        others = without(requests, runs)
        return [*self.run_parking.park(runs), *self.parking.park(others)]

    def stop_runs(self) -> None:
        """The plugin could not start: from now on runs wait for another worker."""
        self._runs_stopped = True
        self._on_change()

    def _postpone(self, request: Any) -> None:
        """A run was not admitted; in whatever thread learns of it."""
        if not request.postponed_alone:
            self.watch.refused()
        self.gate.postpone(request)

    @property
    def starts_runs(self) -> bool:
        """Whether runs can start here."""
        return not (self.watch.known.runs_wait or self._runs_stopped)

    def _report_progress(self) -> None:
        """Report at once what others wait for. What is held may arrive at any rate."""
        now = (self._in_force, self.gate.enforced)
        if now != self._reported:
            self._reported = now
            self.watch.ring()

    # -- the ramp, in the thread that consumes or keeps the timer -----------------------------

    def _allowed(self) -> int | None:
        if self.forced:
            return None
        watch, slots = self.watch, slots_of(self._worker)
        return slots_allowed(self.mode.ramp, watch.now, slots, watch.rank, watch.workers)

    def _ramp(self) -> None:
        with self._lock:  # a ``down`` in another thread must not be undone here
            allowed = self._allowed()
            if allowed != self.gate.allowed:
                self._set_gate()
        self.gate.let_through()
        self._ramping = allowed is not None
        if self._ramping:
            self._worker.timer.call_after(RAMP_TICK, self._ramp)

    def known_mode(self) -> dict[str, Any] | None:
        """The mode for another worker, ready to be sent; ``None``: it is not known here."""
        mode = self.mode
        if mode.version < 0:
            return None
        return {"version": mode.version, "text": encode_mode(mode, log=False)}

    def reconnected(self, consumer: Any) -> None:
        """There is a new connection, which does not consume yet."""
        self._ramping = False
        self._reported = None
        if not (self.watch.is_known or self.forced or self._pauses):
            self._from_peers.at_start()
        self.gate.connected(consumer)
        self.run_parking.connected()

    # -- what it reports --------------------------------------------------------------------

    def report(self) -> Report:
        """The worker at this moment; in any thread."""
        self._announcer.remind()  # comes by every few seconds, whatever the loop does
        now = time.monotonic()
        self.run_parking.try_again(now)
        if not self.watch.answers and not self.forced:
            self._from_peers.now_and_then(now)
        gate = self.gate
        # First what is in force, then what runs: what starts in between must not be missing.
        away = self._disconnected()
        version = self._version if away else self._in_force
        paused = away or gate.enforced == gate.number
        requests = gate.begun() if gate.intake is not None else []
        held = gate.held
        busy = [_busy(request, gate.queue_to_hold(held, request)) for request in requests]
        self._history.look((b.task, b.id, b.seconds) for b in busy)
        self.watch.hurry = bool(held) and (
            not paused or any(held.covers(b.task, b.queue) for b in busy)
        )
        worker = self._worker
        return Report(
            hostname=worker.hostname,
            pid=self._flag.owner_pid,
            pool=pool_kind(worker).name,
            slots=slots_of(worker),
            queues=tuple(gate.intake.names) if gate.intake is not None else (),
            exempt=tuple(sorted(self._exempt)),
            version=version,
            forced=self.forced,
            paused=paused,
            cut_off=self.watch.known.cut_off,
            busy=tuple(busy[:MOST_BUSY]),
            busy_count=len(busy),
            parked=self.parking.count,
            longest=self._history.longest(),
            failure=failure_of(worker),
            start=self._flag.worker,
            up_for=round(time.monotonic() - self._began, 3),
            details=self._details.read({request.id for request in requests}),
            stopping=self._flag.raised,
        )

    def _disconnected(self) -> bool:
        """Without a connection nothing starts, but what threads were given before; the next
        connection finds the gate as it is."""
        if connection_of(self._worker) is not None:
            return False
        return not unstarted.waits_for_thread(self._worker)


def _busy(request: Any, queue: str) -> Busy:
    started = request.time_start
    return Busy(
        task=request.type,
        id=request.id,
        queue=queue,
        seconds=round(max(0.0, time.time() - started), 1) if started else 0.0,
        run=isinstance(request, RunRequest),
    )
