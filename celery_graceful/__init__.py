"""Celery tasks that outlive a deploy: the public names, imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from celery_graceful.text import log_lines

if TYPE_CHECKING:
    from celery_graceful.atomic import Atomic
    from celery_graceful.errors import CutOff
    from celery_graceful.plugin import Graceful
    from celery_graceful.processes import at_task_exit, background_process, ready
    from celery_graceful.stop import sleep, stopping, time_left
    from celery_graceful.tasks import GracefulTask, IterableTask, iterable_task

__version__ = "0.1.0"

log_lines.install()

__all__ = [
    "Atomic",
    "CutOff",
    "Graceful",
    "GracefulTask",
    "IterableTask",
    "at_task_exit",
    "background_process",
    "errors",
    "iterable_task",
    "ready",
    "signals",
    "sleep",
    "sources",
    "stopping",
    "time_left",
]

_HOMES = {
    "Atomic": "celery_graceful.atomic",
    "CutOff": "celery_graceful.errors",
    "Graceful": "celery_graceful.plugin",
    "GracefulTask": "celery_graceful.tasks",
    "IterableTask": "celery_graceful.tasks",
    "at_task_exit": "celery_graceful.processes",
    "background_process": "celery_graceful.processes",
    "iterable_task": "celery_graceful.tasks",
    "ready": "celery_graceful.processes",
    "sleep": "celery_graceful.stop",
    "stopping": "celery_graceful.stop",
    "time_left": "celery_graceful.stop",
}
_ROOMS = frozenset({"errors", "signals", "sources"})


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
