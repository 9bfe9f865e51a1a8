"""What a ``down`` would do, found out without doing it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery_graceful.maintenance.known_workers import members, patience
from celery_graceful.maintenance.scopes import matched, own_queues
from celery_graceful.maintenance.worker_report import Busy, Report
from celery_graceful.model.maintenance.held import Held, held_by
from celery_graceful.model.maintenance.mode import Kind, Mode, Scope, lower

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Awaited:
    """A task under way that would have to leave or to end."""

    worker: str
    busy: Busy
    #: Whether it leaves at its next checkpoint; else it is waited for.
    leaves: bool
    #: The longest that this task was seen to take lately, in seconds; ``None``: no history.
    longest: float | None

    @property
    def left(self) -> float | None:
        """Seconds that it may still run, if it takes as long as the longest did."""
        return None if self.longest is None else max(0.0, self.longest - self.busy.seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be held, and what would be waited for."""

    queues: tuple[str, ...]
    #: Held by name.
    tasks: tuple[str, ...]
    #: What becomes of each beat entry, by name or pattern, if entries may be held at all.
    beat: dict[str, str]
    awaited: tuple[Awaited, ...]
    forced: tuple[str, ...]


def plan(
    runtime: Runtime, scopes: Collection[Scope], *, now: float, interrupt: bool = True
) -> Plan:
    """What a ``down`` of these scopes would do now.

    Args:
        now: the store's time.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    added = lower(Mode(), scopes, now=now, who="", interrupt=interrupt)
    held = held_by(added, runtime.settings.maintenance_exempt_queues)
    lease = patience(runtime.settings)
    live = [m.report for m in members(runtime.store) if m.age <= lease and m.report is not None]
    queues = own_queues(runtime).union(*(report.queues for report in live))
    patterns = [scope.name for scope in scopes if scope.kind is Kind.TASK]
    named = {name for pattern in patterns for name in matched(runtime.app.tasks, pattern)}
    return Plan(
        queues=tuple(sorted(queue for queue in queues if held.queue(queue))),
        tasks=tuple(sorted(named)),
        beat=dict(runtime.settings.maintenance_beat) or {"*": "skip"},
        awaited=tuple(a for r in live if not r.forced for a in _awaited(added, r, interrupt)),
        forced=tuple(report.hostname for report in live if report.forced),
    )


def _awaited(mode: Mode, report: Report, interrupt: bool) -> list[Awaited]:
    held: Held = held_by(mode, report.exempt)
    return [
        Awaited(report.hostname, busy, busy.run and interrupt, report.longest.get(busy.task))
        for busy in report.running
        if held.covers(busy.task, busy.queue)
    ]
