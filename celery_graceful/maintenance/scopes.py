"""What a ``down`` may name, and what it would do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from celery_graceful.errors import ScopeRefused, UnknownScope
from celery_graceful.maintenance.workers import Busy, Report, known_workers, patience
from celery_graceful.model.maintenance.held import OF_CELERY, Held, held_by
from celery_graceful.model.maintenance.mode import EVERYTHING, Kind, Mode, Scope, hold_scopes

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime

_NEAREST = 3
_SHOWN = 8


def scopes_of(queues: Iterable[str] = (), tasks: Iterable[str] = ()) -> tuple[Scope, ...]:
    """The scopes of these names, each once; everything when there are none."""
    named = [Scope(Kind.QUEUE, name) for name in queues] + [Scope(Kind.TASK, n) for n in tasks]
    return tuple(dict.fromkeys(named)) or (EVERYTHING,)


def checked(runtime: Runtime, scopes: Collection[Scope], consumed: Collection[str]) -> None:
    """Make sure that each scope means something, and may be held.

    Args:
        consumed: queues that workers report, beside those of the configuration.

    Raises:
        UnknownScope: no such queue or task; the message names those that come nearest.
        ScopeRefused: the queue is exempt from maintenance.
    """
    exempt = runtime.settings.maintenance_exempt_queues
    queues = own_queues(runtime) | set(consumed)
    for scope in scopes:
        if scope.kind is Kind.QUEUE:
            _check_queue(scope.name, queues, exempt)
        elif scope.kind is Kind.TASK:
            _check_task(scope.name, runtime.app.tasks)


def own_queues(runtime: Runtime) -> set[str]:
    """The queues of the app's configuration."""
    return set(runtime.app.amqp.queues)


def matched(tasks: Iterable[str], pattern: str) -> list[str]:
    """The tasks that a name or pattern means; no pattern means Celery's own."""
    names = sorted(tasks)
    if pattern in names:
        return [pattern]
    return [n for n in names if not n.startswith(OF_CELERY) and fnmatchcase(n, pattern)]


def _check_queue(name: str, queues: Collection[str], exempt: Collection[str]) -> None:
    if name in exempt:
        raise ScopeRefused(
            f"The queue {name} is exempt from maintenance (graceful_maintenance_exempt_queues):"
            " it cannot be held. Take it out of that setting, or hold tasks by name."
        )
    if name not in queues:
        raise UnknownScope(
            f"No queue {name!r}: neither task_queues nor any worker has it. {_near(name, queues)}"
        )


def _check_task(pattern: str, tasks: Any) -> None:
    if not matched(tasks, pattern):
        own = [name for name in tasks if not name.startswith(OF_CELERY)]
        raise UnknownScope(
            f"No task {pattern!r}: no task of the app has this name or fits this pattern."
            f" {_near(pattern, own)}"
        )


def _near(name: str, known: Collection[str]) -> str:
    if not known:
        return "There are none."
    near = get_close_matches(name, known, n=_NEAREST, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:_SHOWN])
    return f"There are: {shown}{', …' if len(known) > _SHOWN else ''}."


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
    added = hold_scopes(Mode(), scopes, now=now, who="", interrupt=interrupt)
    held = held_by(added, runtime.settings.maintenance_exempt_queues)
    lease = patience(runtime.settings)
    live = [
        m.report for m in known_workers(runtime.store) if m.age <= lease and m.report is not None
    ]
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
