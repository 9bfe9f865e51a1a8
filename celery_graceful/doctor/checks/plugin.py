"""GD01x: whether the app uses the plugin at all."""

from __future__ import annotations

from collections.abc import Iterator

from celery_graceful.doctor.checks.base import Check, Scene, Sight, named
from celery_graceful.doctor.facts import Kind
from celery_graceful.doctor.finding import Severity


def not_plugged(scene: Scene) -> Iterator[Sight]:
    """Tasks that need the plugin, in an app without it."""
    names = [task.name for task in scene.app.of_kind(Kind.ITERABLE, Kind.GRACEFUL)]
    if names and not scene.app.plugged:
        yield Sight(
            f"Graceful(app) is not called, and these tasks need it: {named(names)}",
            "graceful = Graceful(app)",
            setting="Graceful",
        )


CHECKS = (
    Check(
        "GD010",
        Severity.ERROR,
        "Iterable tasks or `GracefulTask` in an app without `Graceful(app)`",
        "Workers of this app do not stop gracefully: nothing raises the stop flag, no lease is"
        " renewed, no run is rescued, and maintenance does not hold them.",
        "`graceful = Graceful(app)`, below `app = Celery(…)`",
        not_plugged,
    ),
)
