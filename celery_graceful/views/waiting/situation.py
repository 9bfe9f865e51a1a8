"""What is known around all runs at one moment: the mode, the workers, the queues.

It takes two calls of the store, and a question to the broker where that is cheap.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery_graceful._celery.message.queue_lengths import QueueLengths
from celery_graceful.errors import CorruptRecord
from celery_graceful.maintenance.mode_changes import read
from celery_graceful.maintenance.workers import (
    KnownWorker,
    Report,
    heartbeat,
    is_replaced,
    known_workers,
    patience,
)
from celery_graceful.model.maintenance.held import held_by
from celery_graceful.model.maintenance.mode import Hold, Mode
from celery_graceful.model.run.reasons import VOLUNTARY

if TYPE_CHECKING:
    from celery_graceful.runs.plain_run import Run
    from celery_graceful.runtime import Runtime

#: Seconds for which the broker may take to say how long queues are.
BROKER_PATIENCE = 0.5
#: States in which a run waits for a message to be admitted.
PENDING = ("queued", "interrupted", "retrying")


@dataclass(frozen=True, slots=True)
class WorkerNow:
    """A worker that has reported recently."""

    #: Celery's node name.
    hostname: str
    #: Names this start of it, as a run's ``worker`` does.
    owner: str
    queues: tuple[str, ...] = ()
    slots: int = 1
    #: Tasks that run on it, and those that wait in it for a slot.
    running: int = 0
    waiting: int = 0
    #: It ignores maintenance.
    forced: bool = False
    #: It has not reached the store for a whole lease.
    cut_off: bool = False
    #: It stops, and takes no more messages.
    stopping: bool = False
    #: Why the plugin could not start on it; empty when it could.
    failure: str = ""
    #: Queues that are never held on it.
    exempt: tuple[str, ...] = ()

    @property
    def takes_runs(self) -> bool:
        """Whether it may begin a run."""
        return not (self.cut_off or self.stopping or self.failure)


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides whether a run can move, besides the run itself. Times are the store's."""

    mode: Mode = field(default_factory=Mode)
    now: float = 0.0
    workers: tuple[WorkerNow, ...] = ()
    #: The names of the app's tasks, as far as this process knows them; empty: not known.
    tasks: frozenset[str] = frozenset()
    #: Queues that are never held.
    exempt: frozenset[str] = frozenset()
    #: The queue of messages that resume runs of a task, where it is not their own.
    resume_queues: Mapping[str, str] = field(default_factory=dict)
    #: Messages in a queue; those that are not known are missing.
    lengths: Mapping[str, int] = field(default_factory=dict)
    #: Seconds that a lease lasts.
    lease: float = 30.0
    #: How commands begin, ``celery -A proj graceful``; empty: none are named.
    command: str = ""
    #: Why the maintenance mode is not known; empty when it is.
    trouble: str = ""

    def holds_on(self, task: str, queue: str) -> tuple[Hold, ...]:
        """What holds a task of a queue now."""
        return tuple(
            hold
            for hold in self.mode.holds
            if held_by(Mode(holds=(hold,)), self.exempt).covers(task, queue)
        )

    def consumers(self, queue: str) -> tuple[WorkerNow, ...]:
        """The workers that consume a queue, or would if nothing were held."""
        return tuple(worker for worker in self.workers if queue in worker.queues)

    def worker(self, owner: str | None) -> WorkerNow | None:
        """The worker that owns a run, if it has reported recently."""
        return next((worker for worker in self.workers if worker.owner == owner), None)

    def queue_of(self, run: Run) -> str | None:
        """Where the message is that continues a run."""
        ahead = run.state != "queued" and not run.republished and run.reason not in VOLUNTARY
        return self.resume_queues.get(run.task, run.queue) if ahead else run.queue


def situation_of(runtime: Runtime, runs: Iterable[Run] = (), *, command: str = "") -> Situation:
    """The situation now.

    Args:
        runs: those that it is for: the lengths of the queues that they wait in are asked for.
        command: how the app's commands begin, to name them: ``celery -A proj graceful``.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    mode, now, trouble = _mode(runtime)
    known = known_workers(runtime.store)
    empty = Situation(
        mode=mode,
        now=now,
        workers=_workers(runtime, known),
        tasks=frozenset(runtime.app.tasks),
        exempt=frozenset(runtime.settings.maintenance_exempt_queues),
        resume_queues=_resume_queues(runtime),
        lease=runtime.settings.lease_ttl,
        command=command,
        trouble=trouble,
    )
    queues = [empty.queue_of(run) for run in runs if run.state in PENDING]
    lengths = _meter(runtime.app).of(filter(None, queues), BROKER_PATIENCE)
    return replace(empty, lengths=lengths)


def _mode(runtime: Runtime) -> tuple[Mode, float, str]:
    try:
        reading = read(runtime)
    except CorruptRecord as exc:
        return Mode(), 0.0, str(exc)
    return reading.mode, reading.now, ""


def _workers(runtime: Runtime, known: Sequence[KnownWorker]) -> tuple[WorkerNow, ...]:
    limit, beat = patience(runtime.settings), heartbeat(runtime.settings)
    return tuple(
        _worker(each.worker, each.report)
        for each in known
        if each.age <= limit
        and each.report is not None
        and not is_replaced(each, known, (), heartbeat=beat)
    )


def _worker(owner: str, report: Report) -> WorkerNow:
    return WorkerNow(
        hostname=report.hostname,
        owner=owner,
        queues=report.queues,
        slots=report.slots,
        running=report.busy_count - report.waiting_count,
        waiting=report.waiting_count,
        forced=report.forced,
        cut_off=report.cut_off,
        stopping=report.stopping,
        failure=report.failure,
        exempt=report.exempt,
    )


def _resume_queues(runtime: Runtime) -> dict[str, str]:
    found = {name: runtime.way_of_resumed(name)[0] for name in runtime.app.tasks}
    return {name: queue for name, queue in found.items() if queue is not None}


_meters: WeakKeyDictionary[Any, QueueLengths] = WeakKeyDictionary()
_lock = threading.Lock()


def _meter(app: Any) -> QueueLengths:
    with _lock:
        return _meters.setdefault(app, QueueLengths(app))
