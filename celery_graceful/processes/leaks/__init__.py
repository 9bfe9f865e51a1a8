"""Processes that a task has left behind: found at its end, reported, and ended where set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

log = logging.getLogger("celery_graceful.processes")

_forget: Callable[[], None] | None = None


def install(
    app: Any, mode: str, *, tasks_overlap: bool, worker: str = "", namespace: str = ""
) -> None:
    """Have this process, and the children it forks, look for leaks at the end of each task.

    To be called before Celery prepares to run the app's tasks.

    Args:
        app: the Celery app.
        mode: the setting ``graceful_leaked_processes``.
        tasks_overlap: whether several tasks run in one process at the same time.
        worker: the node name of the worker, for notes of what was found.
        namespace: that of the app.
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
    from celery_graceful.processes.leaks import task_ends
    from celery_graceful.processes.leaks.left_behind import LeakFinder

    make = partial(LeakFinder, kill=mode == "kill", worker=worker, app=namespace)
    _forget = task_ends.by_signals(make) if tasks_overlap else task_ends.by_loader(app.loader, make)


def forget() -> None:
    """Look no more."""
    global _forget
    if _forget is not None:
        _forget()
        _forget = None
