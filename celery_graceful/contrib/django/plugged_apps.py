"""Which Celery apps of a Django project get the plugin from the Django app.

A project that makes a ``Graceful(app)`` itself has chosen, and no other of its apps is changed.
Otherwise each of its apps gets one: those that exist when Django is ready, and those that are
made afterwards, when Celery finalizes them. A worker reads the steps of its app later than both.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from celery_graceful._celery.task.current_app import active_apps, is_fallback, on_finalize
from celery_graceful.plugin import STEP, Graceful

#: The apps that got the plugin here.
_plugged_here: WeakSet[Any] = WeakSet()


def plug_apps() -> None:
    """Add the plugin to the apps of the project, now and as they come."""
    for app in project_apps():
        _plug(app)
    on_finalize(_plug)


def project_apps() -> list[Any]:
    """The Celery apps of this process, without the one that Celery makes where there is none."""
    return [app for app in active_apps() if not is_fallback(app)]


def is_plugged(app: Any) -> bool:
    """Whether the workers of an app have the plugin."""
    return STEP in app.steps["worker"]


def _plug(app: Any) -> None:
    if not is_plugged(app) and not is_fallback(app) and not _project_has_chosen():
        Graceful(app)
        _plugged_here.add(app)


def _project_has_chosen() -> bool:
    return any(is_plugged(app) and app not in _plugged_here for app in project_apps())
