"""Which task is under way in this thread, and of which app."""

from __future__ import annotations

from celery import current_task

from celery_graceful._celery.task.current_app import current_app_if_any
from celery_graceful.errors import SettingsError
from celery_graceful.runtime import runtime_of


def task_now() -> tuple[str, str]:
    """Its name and id; a dash for each where there is none."""
    request = current_task.request if current_task else None
    if request is None or request.id is None:
        return "-", "-"
    return str(current_task.name), str(request.id)


def app_now() -> str:
    """The namespace of the task's app, or else of the current one; empty where there is none."""
    app = current_task.app if current_task else current_app_if_any()
    if app is None:
        return ""
    try:
        return runtime_of(app).namespace
    except SettingsError:  # a process may be started in whatever app
        return str(app.main or "")
