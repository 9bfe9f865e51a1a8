"""Workers, what is waited for, processes and leaks as pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_graceful.maintenance.barrier import Block, WorkerState, WorkerStatus
from celery_graceful.maintenance.worker_details import NO_DETAILS, Details, Process
from celery_graceful.model.maintenance.held import Held, held_by
from celery_graceful.processes.leaks.notes import Leak
from celery_graceful.text.counting import counted
from celery_graceful.web.rendering.shown_runs import ShownState, run_page

if TYPE_CHECKING:
    from celery_graceful.maintenance.workers import Busy, Report
    from celery_graceful.views.fleet.watch import FleetState
    from celery_graceful.web.page_context import Context

_SIGNS = {
    WorkerState.RUNNING: ("running", "●"),
    WorkerState.RESUMING: ("waiting", "↻"),
    WorkerState.PAUSING: ("waiting", "◔"),
    WorkerState.PAUSED: ("paused", "‖"),
    WorkerState.PARTLY: ("paused", "◐"),
    WorkerState.FORCED: ("running", "»"),
    WorkerState.GONE: ("waiting", "○"),
}
#: Seconds: times that change with each look would be a new page each time.
_COARSE = 2.0
#: Reasons to wait, and tasks of a worker, that are shown.
MOST_BLOCKS, MOST_TASKS = 50, 30


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A task that a worker runs, or has reserved."""

    task: str
    id: str
    queue: str
    #: When it began, in Unix seconds; ``None``: it has not.
    began: float | None
    #: The address of its run; empty: it is no iterable task.
    url: str


@dataclass(frozen=True, slots=True)
class ShownWorker:
    """A worker in the table."""

    name: str
    state: ShownState
    status: WorkerStatus
    details: Details
    tasks: Sequence[ShownTask]
    more_tasks: int
    #: ``2 of 4``.
    slots: str
    #: When it reported last, in Unix seconds; ``None``: never, or just now.
    seen: float | None
    waits_for: str


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """What a ``down`` still waits for."""

    worker: str
    why: str
    task: str
    id: str
    url: str
    began: float | None


@dataclass(frozen=True, slots=True)
class ShownProcess:
    """A background process, and where it runs."""

    worker: str
    process: Process
    #: The address of its run's page; empty: its task is no iterable one, or there is none.
    url: str

    @property
    def outside(self) -> bool:
        """Whether no task has started it."""
        return self.process.task in ("", "-")


def worker_state(status: WorkerStatus) -> ShownState:
    """The state of a worker as it is shown."""
    kind, mark = _SIGNS.get(status.state, ("failed", "!"))
    forced = status.report is not None and status.report.forced
    name = str(status.state)
    return ShownState(
        f"{name}, forced" if forced and status.state is not WorkerState.FORCED else name, kind, mark
    )


def shown_workers(context: Context, fleet: FleetState) -> list[ShownWorker]:
    """The rows of the table: those that are there first."""
    return [_worker(context, fleet.now, each) for each in fleet.barrier.workers]


def _worker(context: Context, now: float, status: WorkerStatus) -> ShownWorker:
    report = status.report
    tasks = () if report is None else report.running
    at = _written(now, status)
    fresh = status.state is WorkerState.RUNNING or status.age is None
    return ShownWorker(
        name=status.hostname,
        state=worker_state(status),
        status=status,
        details=NO_DETAILS if report is None else report.details,
        tasks=[_task(context, at, each) for each in tasks[:MOST_TASKS]],
        more_tasks=max(0, len(tasks) - MOST_TASKS),
        slots="" if report is None else _slots(report),
        seen=None if fresh else _coarse(at),
        waits_for="; ".join(block.why for block in status.blocks[:3]),
    )


def _slots(report: Report) -> str:
    waiting = report.waiting_count
    text = f"{report.busy_count - waiting} of {counted(report.slots, 'slot')}"
    return f"{text}, {counted(waiting, 'task waits', 'tasks wait')}" if waiting else text


def _task(context: Context, at: float, busy: Busy) -> ShownTask:
    began = _coarse(at - busy.seconds) if busy.seconds else None
    url = run_page(context, busy.task, busy.id) if busy.run else ""
    return ShownTask(busy.task, busy.id, busy.queue, began, url)


def shown_blocks(context: Context, fleet: FleetState) -> list[ShownBlock]:
    """What is still waited for."""
    found = []
    for status in fleet.barrier.workers:
        report = status.report
        busy = {each.id: each for each in (report.busy if report else ())}
        stopping = held_by(fleet.mode, report.exempt if report else (), interrupting=True)
        for block in status.blocks:
            task = busy.get(block.id) if block.task else None
            found.append(_block(context, block, task, stopping, _written(fleet.now, status)))
    return found


def _block(
    context: Context, block: Block, busy: Busy | None, stopping: Held, at: float
) -> ShownBlock:
    if busy is None:
        return ShownBlock(block.worker, block.why, block.task, block.id, "", None)
    stops = busy.run and stopping.covers(busy.task, busy.queue)
    task = _task(context, at, busy)
    why = "stops at its next checkpoint" if stops else "is waited for until it ends"
    return ShownBlock(block.worker, why, task.task, task.id, task.url, task.began)


def shown_processes(context: Context, fleet: FleetState) -> list[ShownProcess]:
    """The background processes of all workers, the oldest first."""
    reports = [each.report for each in fleet.barrier.live if each.report is not None]
    runs = {busy.id for report in reports for busy in report.busy if busy.run}
    found = []
    for worker, details in _details(fleet):
        for process in details.processes:
            is_run = process.id in runs
            url = run_page(context, process.task, process.id) if is_run else ""
            found.append(ShownProcess(worker, process, url))
    return sorted(found, key=lambda each: each.process.since)


def unnamed_processes(fleet: FleetState) -> int:
    """How many processes there are that the workers' reports do not name."""
    return sum(max(0, d.process_count - len(d.processes)) for _, d in _details(fleet))


def shown_leaks(fleet: FleetState) -> list[Leak]:
    """What tasks have left behind, the latest first."""
    leaks = {leak for _, details in _details(fleet) for leak in details.leaks}
    return sorted(leaks, key=lambda leak: leak.at, reverse=True)


def not_looking(fleet: FleetState) -> list[str]:
    """Workers that do not look for what tasks leave behind."""
    return sorted({name for name, details in _details(fleet) if details.leak_mode == "off"})


def _details(fleet: FleetState) -> list[tuple[str, Details]]:
    live = [w for w in fleet.barrier.live if w.report is not None]
    return [(w.hostname, w.report.details) for w in live if w.report is not None]


def _written(now: float, status: WorkerStatus) -> float:
    """When a worker's report was written, by the store's clock."""
    return now - (status.age or 0.0)


def _coarse(at: float) -> float:
    return round(at / _COARSE) * _COARSE
