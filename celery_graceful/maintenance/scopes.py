"""What a ``down`` may name, and what it would do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING

from celery_graceful.errors import ScopeRefused, UnknownScope
from celery_graceful.maintenance.workers import Busy, Report, known_workers, live_workers
from celery_graceful.model.maintenance.held import OF_CELERY, held_by
from celery_graceful.model.maintenance.mode import EVERYTHING, Kind, Mode, Scope

if TYPE_CHECKING:
    from celery_graceful.runtime import Runtime

_NEAREST = 3
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Awaited:
    """A running task that would have to stop or to finish."""

    worker: str
    busy: Busy
    #: Whether it stops at its next checkpoint; else it is waited for.
    interrupted: bool
    #: The longest that this task took recently, in seconds; ``None``: no history.
    longest: float | None

    @property
    def left(self) -> float | None:
        """Seconds that it may still run, if it takes as long as the longest did."""
        return None if self.longest is None else max(0.0, self.longest - self.busy.seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a ``down`` would hold, and what it would wait for."""

    queues: tuple[str, ...]
    #: Held by name, by whichever of its names.
    tasks: tuple[str, ...]
    #: What becomes of each beat entry, by name or pattern, if entries may be held at all.
    beat: dict[str, str]
    awaited: tuple[Awaited, ...]
    #: Workers that ignore maintenance.
    forced: tuple[str, ...]


def scopes_of(queues: Iterable[str] = (), tasks: Iterable[str] = ()) -> tuple[Scope, ...]:
    """The scopes of these names, each once."""
    named = [Scope(Kind.QUEUE, name) for name in queues] + [Scope(Kind.TASK, n) for n in tasks]
    return tuple(dict.fromkeys(named))


def checked_scopes(
    runtime: Runtime, queues: Collection[str], tasks: Collection[str]
) -> tuple[Scope, ...]:
    """The scopes of these names, or everything when there are none.

    Raises:
        UnknownScope: no such queue or task; the message names those that come nearest.
        ScopeRefused: the queue is exempt from maintenance.
    """
    reports = [worker.report for worker in known_workers(runtime.store) if worker.report]
    known = own_queues(runtime).union(*(report.queues for report in reports))
    for name in queues:
        _check_queue(name, known, runtime.settings.maintenance_exempt_queues)
    if tasks:
        runtime.app.loader.import_default_modules()
        names = {*runtime.app.tasks, *chain.from_iterable(_former_names(runtime).values())}
        for pattern in tasks:
            _check_task(pattern, names)
    return scopes_of(queues, tasks) or (EVERYTHING,)


def plan_of(runtime: Runtime, mode: Mode) -> Plan:
    """What would happen if ``mode`` were in force now.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    renamed = _former_names(runtime)
    held = held_by(mode, runtime.settings.maintenance_exempt_queues)
    live = [worker.report for worker in live_workers(runtime) if worker.report is not None]
    queues = own_queues(runtime).union(*(report.queues for report in live))
    patterns = held.under_all_names(renamed).tasks
    known = {*runtime.app.tasks, *chain.from_iterable(renamed.values())}
    named = {name for pattern in patterns for name in _matched(known, pattern)}
    return Plan(
        queues=tuple(sorted(queue for queue in queues if held.queue(queue))),
        tasks=tuple(sorted(named)),
        beat=dict(runtime.settings.maintenance_beat) or {"*": "skip"},
        awaited=tuple(a for r in live if not r.forced for a in _awaited(mode, r, renamed)),
        forced=tuple(report.hostname for report in live if report.forced),
    )


def own_queues(runtime: Runtime) -> set[str]:
    """The queues of the app's configuration."""
    return set(runtime.app.amqp.queues)


def _former_names(runtime: Runtime) -> dict[str, list[str]]:
    """The former names of tasks, by the names that they have now."""
    found = {}
    for name, task in runtime.app.tasks.items():
        given = getattr(task, "former_names", ())
        if isinstance(given, (list, tuple)) and given:
            found[name] = [each for each in given if isinstance(each, str) and each]
    return found


def _awaited(mode: Mode, report: Report, renamed: Mapping[str, list[str]]) -> list[Awaited]:
    held = held_by(mode, report.exempt).under_all_names(renamed)
    interrupting = held_by(mode, report.exempt, interrupting=True).under_all_names(renamed)
    return [
        Awaited(
            report.hostname,
            busy,
            busy.run and interrupting.covers(busy.task, busy.queue),
            report.longest.get(busy.task),
        )
        for busy in report.running
        if held.covers(busy.task, busy.queue)
    ]


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


def _check_task(pattern: str, tasks: Collection[str]) -> None:
    if not _matched(tasks, pattern):
        own = [name for name in tasks if not name.startswith(OF_CELERY)]
        raise UnknownScope(
            f"No task {pattern!r}: no task of the app has this name or fits this pattern."
            f" {_near(pattern, own)}"
        )


def _matched(tasks: Iterable[str], pattern: str) -> list[str]:
    """The tasks that a name or pattern means; no pattern means Celery's own."""
    names = sorted(tasks)
    if pattern in names:
        return [pattern]
    return [n for n in names if not n.startswith(OF_CELERY) and fnmatchcase(n, pattern)]


def _near(name: str, known: Collection[str]) -> str:
    if not known:
        return "There are none."
    near = get_close_matches(name, known, n=_NEAREST, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:_SHOWN])
    return f"There are: {shown}{', …' if len(known) > _SHOWN else ''}."
