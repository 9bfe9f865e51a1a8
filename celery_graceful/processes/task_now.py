"""Which task is under way in this thread."""

from __future__ import annotations

from celery import current_task

__all__ = ["task_now"]


def task_now() -> tuple[str, str]:
    """Its name and id; a dash for each where there is none."""
    request = current_task.request if current_task else None
    if request is None or request.id is None:
        return "-", "-"
    return str(current_task.name), str(request.id)
