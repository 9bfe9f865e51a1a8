"""Processes that a task has left behind: found at its end, reported, and ended where set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

__all__ = ["forget", "install"]

log = logging.getLogger(__name__)

_forget: Callable[[], None] | None = None


def install(app: Any, mode: str, *, tasks_overlap: bool) -> None:
    """Have this process, and the children it forks, look for leaks at the end of each task.

    To be called before Celery makes ready to run the app's tasks.

    Args:
        app: the Celery app.
        mode: the setting ``graceful_leaked_processes``.
        tasks_overlap: whether several tasks run in one process at the same time.
    """
    global _forget
    forget()
    if mode == "off":
        return
    if find_spec("psutil") is None:
        log.warning(
            "graceful_leaked_processes = %r does nothing: psutil is not installed. "
            "pip install 'celery-graceful[processes]'",
            mode,
        )
        return
    from celery_graceful.processes.leaks import hooks

    kill = mode == "kill"
    _forget = hooks.overlapping(kill) if tasks_overlap else hooks.serial(app.loader, kill)


def forget() -> None:
    """Look no more."""
    global _forget
    if _forget is not None:
        _forget()
        _forget = None
