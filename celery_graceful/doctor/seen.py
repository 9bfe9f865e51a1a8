"""What running workers have seen, as far as the store tells."""

from __future__ import annotations

import time
from collections.abc import Iterable

from celery_graceful.doctor.facts import Seen
from celery_graceful.errors import CursorError
from celery_graceful.maintenance.workers import KnownWorker, known_workers, patience
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.pace import Pace
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Durability, Store

#: Runs that are looked at.
MOST_RUNS = 500


def look_around(
    runtime: Runtime, store: Store | None = None, *, most_runs: int = MOST_RUNS
) -> Seen:
    """Ask the store for the reports of workers, and for how long runs have taken.

    Args:
        runtime: of the app.
        store: by default the process's own.
        most_runs: how many runs to look at; 0 for none.

    Raises:
        StoreError: the store does not answer.
    """
    store = runtime.store if store is None else store
    attending, newest = known_workers(store), patience(runtime.settings)
    runs = list(store.runs(most_runs)) if most_runs else []
    kept = _durability(store)
    return Seen(
        longest=_longest(attending),
        runs=_runs(runs, time.time()),
        items=_items(runs),
        queues=frozenset(
            queue
            for member in attending
            if member.report is not None and member.age <= newest
            for queue in member.report.queues
        ),
        workers=sum(member.age <= newest for member in attending),
        eviction=kept.eviction,
        persistent=kept.persistent,
    )


def _durability(store: Store) -> Durability:
    tell = getattr(store, "durability", None)
    return tell() if callable(tell) else Durability()


def _longest(attending: Iterable[KnownWorker]) -> dict[str, float]:
    """By task; reports of workers that ended lately count as well."""
    found: dict[str, float] = {}
    for member in attending:
        report = member.report
        if report is None:
            continue
        running = {busy.task: busy.seconds for busy in report.busy}
        for task, seconds in (*report.longest.items(), *running.items()):
            found[task] = max(found.get(task, 0.0), seconds)
    return found


def _runs(known: Iterable[tuple[RunKey, Record]], now: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, record in known:
        if record.started_at:
            seconds = (record.ended_at or now) - record.started_at
            found[key.task] = max(found.get(key.task, 0.0), seconds)
    return found


def _items(known: Iterable[tuple[RunKey, Record]]) -> dict[str, float]:
    """How long items of a task take; what is short no run keeps."""
    found: dict[str, float] = {}
    for key, record in known:
        try:
            pace = decode(record.checkpoint).pace if record.checkpoint else ()
        except CursorError:  # a worker tells of it
            continue
        if pace:
            found[key.task] = max(found.get(key.task, 0.0), Pace(pace).p95)
    return found
