"""GD5xx: what a soft or cold stop does to tasks that are under way."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named, per_worker, tasks_of
from celery_graceful.doctor.checks.stops import is_cold, remap, signal_of
from celery_graceful.doctor.facts import Deployed, Kind, Place, TaskFacts
from celery_graceful.doctor.finding import Severity


def _cut_off(worker: Deployed, scene: Scene) -> list[TaskFacts]:
    """Tasks that a cold stop cuts off, at once or after the soft shutdown."""
    return tasks_of(worker, scene.app, Kind.PLAIN, Kind.GRACEFUL)


def _cause(worker: Deployed, scene: Scene) -> tuple[str, Place | None]:
    found = remap(worker, scene.app)
    if found is not None:
        return "REMAP_SIGTERM=SIGQUIT", found.place if found.place.file else None
    place = worker.stop_signal.place if worker.stop_signal else worker.place
    return f"its stop signal is {signal_of(worker)}", place


def early(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """Early-acked tasks are lost."""
    if not is_cold(worker, scene.app):
        return
    lost = [t for t in _cut_off(worker, scene) if not t.acks_late]
    # A GracefulTask that heeds the stop leaves during a soft one; whether it does cannot be seen.
    plain = [t for t in lost if t.kind is Kind.PLAIN]
    soft = bool(scene.app.soft_shutdown_timeout)
    if soft and plain:
        lost = plain
    if lost:
        cause, place = _cause(worker, scene)
        yield Sight(
            f"{worker.name}: {cause}, and acked early: {named([t.name for t in lost])}",
            "app.conf.task_acks_late = True (for tasks that may run twice), or acks_late=True on"
            " these",
            place,
            setting="" if place else "task_acks_late",
            severity=Severity.WARNING if soft and not plain else None,
        )


def no_time(worker: Deployed, scene: Scene) -> Iterator[Sight]:
    """A cold stop without a soft shutdown."""
    if not is_cold(worker, scene.app) or scene.app.soft_shutdown_timeout:
        return
    cut = [t.name for t in _cut_off(worker, scene) if t.acks_late]
    if cut:
        cause, place = _cause(worker, scene)
        yield Sight(
            f"{worker.name}: {cause}, and worker_soft_shutdown_timeout is 0: {named(cut)}",
            "app.conf.worker_soft_shutdown_timeout = 5",
            place,
            setting="" if place else "worker_soft_shutdown_timeout",
        )


def unused(scene: Scene) -> Iterator[Sight]:
    """A soft shutdown that no stop makes use of."""
    seconds = scene.app.soft_shutdown_timeout
    if seconds and scene.workers and not any(is_cold(each, scene.app) for each in scene.workers):
        yield Sight(
            f"worker_soft_shutdown_timeout = {seconds:g}, but SIGTERM is a warm stop in every"
            " worker here",
            "REMAP_SIGTERM=SIGQUIT in the worker's environment, or no soft shutdown",
            setting="worker_soft_shutdown_timeout",
        )


CHECKS = (
    Check(
        "GD501",
        Severity.ERROR,
        "Tasks that are acked early, with a soft or cold stop (`REMAP_SIGTERM=SIGQUIT`, or SIGQUIT"
        " as stop signal; a warning if they are of `GracefulTask` and the stop is a soft one)",
        "What still runs after the soft shutdown is cut off. Its message was acknowledged before it"
        " ran: the task is lost, with a line in the log.",
        "`task_acks_late = True`, or a warm stop with enough time",
        per_worker(early),
    ),
    Check(
        "GD502",
        Severity.WARNING,
        "A cold stop without `worker_soft_shutdown_timeout`",
        "Tasks are cut off at the signal and run again from their start, though most would need a"
        " few seconds more.",
        "`worker_soft_shutdown_timeout = 5`",
        per_worker(no_time),
    ),
    Check(
        "GD503",
        Severity.NOTE,
        "`worker_soft_shutdown_timeout` where no worker makes a soft shutdown",
        "Celery makes a soft shutdown at SIGQUIT only. At SIGTERM these workers wait for their"
        " tasks: until shortly before SIGKILL if they know their grace period, else however long.",
        "`REMAP_SIGTERM=SIGQUIT`, or no such setting",
        unused,
    ),
)
