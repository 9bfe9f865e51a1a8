"""The one grace period that is proposed for a worker, whichever check proposes it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Scene, tasks_of
from celery_graceful.doctor.checks.period import IDLE_STOP, needed_for
from celery_graceful.doctor.checks.stops import is_cold
from celery_graceful.doctor.facts import Deployed, Kind, Manager, TaskFacts
from celery_graceful.doctor.readers.texts import finite

#: Added to what is needed, in seconds; and what is proposed where nobody has chosen.
_RESERVE = 5.0
_CHOSEN = 60.0


def proposed_period(worker: Deployed, scene: Scene) -> float:
    """Seconds from the stop to SIGKILL, hooks included: as they are, if they are enough."""
    assert worker.grace is not None
    needed = max(_needed(worker, scene))
    left, hook = worker.seconds_to_stop or 0.0, _hook(worker)
    if left >= needed and not is_default(worker):
        return worker.grace.value
    whole = float(math.ceil((needed + hook + _RESERVE) / 5) * 5)
    return max(whole, _CHOSEN) if is_default(worker) else whole


def proposed_left(worker: Deployed, scene: Scene) -> float:
    """What the proposed period leaves when the hook has ended."""
    return proposed_period(worker, scene) - _hook(worker)


def is_default(worker: Deployed) -> bool:
    """Whether it is the ten seconds of Docker or supervisord, which nobody has chosen."""
    short = worker.manager in (Manager.COMPOSE, Manager.SUPERVISORD)
    return short and worker.grace is not None and not worker.grace.written


def waited_for(worker: Deployed, scene: Scene) -> list[TaskFacts]:
    """Tasks that a warm stop waits for. ``base=GracefulTask`` alone makes none leave earlier."""
    if worker.grace is None or is_cold(worker, scene.app):
        return []
    return tasks_of(worker, scene.app, Kind.PLAIN, Kind.GRACEFUL)


def limit_of(task: TaskFacts, worker: Deployed) -> float | None:
    """How long a task may take by its time limits, or by those of its worker."""
    return task.longest or finite(worker.command.options.get("time_limit", ""))


def _hook(worker: Deployed) -> float:
    return worker.pre_stop.seconds if worker.pre_stop else 0.0


def _needed(worker: Deployed, scene: Scene) -> Iterator[float]:
    """What each of the checks of time asks for."""
    app, seen = scene.app, scene.seen
    yield IDLE_STOP
    if is_cold(worker, app):
        yield app.soft_shutdown_timeout + IDLE_STOP
    taken = [
        seconds
        for task in waited_for(worker, scene)
        for seconds in (seen.longest.get(task.name), limit_of(task, worker))
    ]
    taken += [seen.items.get(task.name) for task in tasks_of(worker, app, Kind.ITERABLE)]
    for seconds in filter(None, taken):
        # Enough for a worker that knows its period, and for one that does not.
        yield max(needed_for(seconds, worker, app), seconds + IDLE_STOP)
        yield needed_for(seconds, worker, app, knowing=True)
