"""The maintenance mode and its workers as plain data.

Times are Unix seconds by the store's clock, spans are seconds, and what is unknown is ``None``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import ProcessError
from celery_graceful.maintenance.barrier import BarrierState, Block, WorkerStatus
from celery_graceful.maintenance.worker_details import NO_DETAILS, Details
from celery_graceful.model.maintenance.mode import Mode, Scope
from celery_graceful.processes.registry import entries
from celery_graceful.text.masking import mask_text

if TYPE_CHECKING:
    from celery_graceful.maintenance.api import Status
    from celery_graceful.maintenance.mode_changes import Change
    from celery_graceful.maintenance.scopes import Awaited, Plan
    from celery_graceful.runtime import Runtime


#: Raised when a field changes its meaning or goes away.
SCHEMA = 1
#: What a worker's view has of its report, by the names there.
_REPORTED = {
    "pid": "pid",
    "pool": "pool",
    "version": "version",
    "forced": "forced",
    "queues": "queues",
    "exempt_queues": "exempt",
    "slots": "slots",
    "busy_count": "busy_count",
    "parked": "parked",
}


def status_as_data(runtime: Runtime, status: Status) -> dict[str, Any]:
    """What ``graceful status`` knows of an app."""
    return {
        "app": runtime.namespace,
        "broker": runtime.broker_shown,
        "store": runtime.store_address,
        "exempt_queues": sorted(runtime.settings.maintenance_exempt_queues),
        "trouble": status.trouble or None,
        "workers": [worker_as_data(worker) for worker in status.workers],
        **mode_as_data(status.mode, status.now),
    }


def down_as_data(
    change: Change, undo: Sequence[str], barrier: BarrierState | None, *, waited: bool
) -> dict[str, Any]:
    """The result of a ``down``, and how to undo it."""
    return {
        "verb": "down",
        "warnings": list(change.warnings),
        "undo": list(undo),
        "waited": waited,
        "paused": barrier.clear if barrier else None,
        "waited_for": [block_as_data(block) for block in (barrier.blocks if barrier else ())],
        "workers": [worker_as_data(worker) for worker in barrier.workers] if barrier else None,
        **mode_as_data(change.mode, change.now),
    }


def up_as_data(change: Change, undo: Sequence[str]) -> dict[str, Any]:
    """The result of an ``up``, and how to undo it."""
    return {
        "verb": "up",
        "changed": change.before.version != change.mode.version,
        "warnings": list(change.warnings),
        "undo": list(undo),
        **mode_as_data(change.mode, change.now),
    }


def plan_as_data(plan: Plan) -> dict[str, Any]:
    """What a ``down`` would do."""
    return {
        "verb": "down",
        "dry_run": True,
        "queues": list(plan.queues),
        "tasks": list(plan.tasks),
        "beat": plan.beat,
        "forced": list(plan.forced),
        "awaited": [_awaited(each) for each in plan.awaited],
    }


def mode_as_data(mode: Mode, now: float) -> dict[str, Any]:
    """What is held, and what was done before."""
    ramp = mode.ramp
    return {
        "down": mode.down,
        "version": mode.version,
        "now": now,
        "holds": [
            {
                **_scope(hold.scope),
                "reason": hold.reason,
                "who": hold.who,
                "since": hold.since,
                "until": hold.until,
                "interrupt": hold.interrupt,
            }
            for hold in mode.holds
        ],
        "ramp": {"since": ramp.since, "until": ramp.until} if ramp and ramp.until > now else None,
        "log": [
            {
                "at": entry.at,
                "who": entry.who,
                "verb": entry.verb,
                "scopes": [_scope(scope) for scope in entry.scopes],
                "reason": entry.reason,
                "until": entry.until,
            }
            for entry in mode.log
        ],
    }


def worker_as_data(worker: WorkerStatus) -> dict[str, Any]:
    """What a worker does, and what it is waited for."""
    report = worker.report
    return {
        "hostname": worker.hostname,
        "state": str(worker.state),
        "last_seen": worker.age,
        **{name: getattr(report, field, None) for name, field in _REPORTED.items()},
        "busy": [asdict(busy) for busy in report.busy] if report else None,
        **details_as_data(report.details if report else NO_DETAILS),
        "failure": worker.failure or None,
        "waited_for": [block_as_data(block) for block in worker.blocks],
    }


def details_as_data(details: Details) -> dict[str, Any]:
    """What a worker's report says beside the maintenance."""
    return {
        "plugin": details.plugin or None,
        "celery": details.celery or None,
        "host": details.host or None,
        "grace_period": details.grace,
        "kill_margin": details.margin,
        "grace_source": details.grace_source or None,
        "processes": [asdict(process) for process in details.processes],
        "process_count": details.process_count,
        "leaks": [asdict(leak) for leak in details.leaks],
        "leaked_processes": details.leak_mode or None,
    }


def block_as_data(block: Block) -> dict[str, Any]:
    """One reason why a ``down`` is not complete."""
    return {
        "worker": block.worker,
        "why": block.why,
        "task": block.task or None,
        "id": block.id or None,
        "seconds": block.seconds,
    }


def _awaited(awaited: Awaited) -> dict[str, Any]:
    return {
        "worker": awaited.worker,
        **asdict(awaited.busy),
        "would": "stop" if awaited.interrupted else "finish",
        "longest": awaited.longest,
        "left": awaited.left,
    }


def _scope(scope: Scope) -> dict[str, str]:
    return {"kind": scope.kind.value, "name": scope.name}


def processes_as_data(app: str) -> tuple[list[dict[str, Any]], str]:
    """The processes of an app, by its namespace.

    Returns:
        The processes, and why the registry cannot be read; empty when it can.
    """
    try:
        found = entries(app)
    except (OSError, ProcessError) as exc:
        return [], str(exc)
    return [{**asdict(entry), "command": mask_text(entry.command)} for entry in found], ""
