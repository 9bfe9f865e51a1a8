"""Workers in maintenance, as people and as programs read of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from celery_graceful.cli.mode_shown import short
from celery_graceful.maintenance.barrier import BarrierState, Block, WorkerState, WorkerStatus
from celery_graceful.maintenance.scopes import Awaited
from celery_graceful.maintenance.workers import KnownWorker, Report
from celery_graceful.text.counting import counted

HEADINGS = ("worker", "pool", "state", "mode version", "busy", "last seen")
AWAITED_HEADINGS = ("worker", "task", "id", "has run", "would", "for")

_NAMED = 10


def as_row(seen: WorkerStatus) -> tuple[str, ...]:
    """One line of the table, under :data:`HEADINGS`."""
    report = seen.report
    forced = report is not None and report.forced and seen.state is not WorkerState.FORCED
    return (
        seen.hostname,
        report.pool if report else "–",
        f"{seen.state}, forced" if forced else str(seen.state),
        "–" if report is None or report.version < 0 else str(report.version),
        _slots_in_use(report) if report else "–",
        "now" if seen.age is None else f"{short(seen.age)} ago",
    )


def _slots_in_use(report: Report) -> str:
    waiting = report.waiting_count
    text = f"{report.busy_count - waiting}/{report.slots}"
    return f"{text}, {counted(waiting, 'waits', 'wait')}" if waiting else text


def as_data(seen: WorkerStatus) -> dict[str, Any]:
    """The worker as JSON's types."""
    report = seen.report
    return {
        "hostname": seen.hostname,
        "state": str(seen.state),
        "last_seen": seen.age,
        "pid": report.pid if report else None,
        "pool": report.pool if report else None,
        "version": report.version if report else None,
        "forced": report.forced if report else None,
        "queues": list(report.queues) if report else None,
        "exempt_queues": list(report.exempt) if report else None,
        "slots": report.slots if report else None,
        "busy_count": report.busy_count if report else None,
        "busy": [asdict(busy) for busy in report.busy] if report else None,
        "parked": report.parked if report else None,
        "failure": seen.failure or None,
        "waited_for": [block_as_data(block) for block in seen.blocks],
    }


def block_as_data(block: Block) -> dict[str, Any]:
    """What is waited for, as JSON's types."""
    return {
        "worker": block.worker,
        "why": block.why,
        "task": block.task or None,
        "id": block.id or None,
        "seconds": block.seconds,
    }


def summary(standing: BarrierState) -> str:
    """How many workers are where they should be."""
    awaited = {block.worker for block in standing.blocks}
    live = [seen for seen in standing.live if seen.state is not WorkerState.FORCED]
    done = len([seen for seen in live if seen.hostname not in awaited])
    return f"{done} of {counted(len(live), 'worker')} paused"


def roll_call(members: Iterable[KnownWorker], lease: float) -> list[str]:
    """Which workers a change concerns, and which not."""
    live = {m.hostname: m.report for m in members if m.age <= lease}
    forced = [host for host, report in live.items() if report is not None and report.forced]
    bound = [host for host in live if host not in forced]
    lines = [f"Workers: {_listed(bound)}"]
    if forced:
        lines.append(f"Forced, they go on in any case: {_listed(forced)}")
    return lines


def awaited_as_row(awaited: Awaited) -> tuple[str, ...]:
    """One line of the table of a dry run, under :data:`AWAITED_HEADINGS`."""
    return (
        awaited.worker,
        awaited.busy.task,
        awaited.busy.id,
        short(awaited.busy.seconds),
        "leave at its next checkpoint" if awaited.leaves else "be waited for",
        "–" if awaited.leaves else _left(awaited),
    )


def awaited_as_data(awaited: Awaited) -> dict[str, Any]:
    """A task of a dry run as JSON's types."""
    return {
        "worker": awaited.worker,
        **asdict(awaited.busy),
        "would": "leave" if awaited.leaves else "end",
        "longest": awaited.longest,
        "left": awaited.left,
    }


def _left(awaited: Awaited) -> str:
    if awaited.left is None or awaited.longest is None:
        return "no history"
    if awaited.left == 0:
        return f"longer than ever: {short(awaited.longest)} till now"
    return f"up to {short(awaited.left)}"


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
