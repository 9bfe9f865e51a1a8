"""Where a task begins and ends: what Celery calls then, as cheap as can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.signals import task_postrun, task_prerun

from celery_graceful.processes import current_task
from celery_graceful.processes.leaks.descendants import now
from celery_graceful.processes.leaks.left_behind import LeakFinder, TaskExecution

_UID = "graceful-leaks"


def by_loader(loader: Any, make: Callable[[], LeakFinder]) -> Callable[[], None]:
    """Hook into an app's loader, which is called for each task; returns what undoes that.

    For processes that run one task after the other. A signal would cost twice what the look does.
    A task that is run eagerly within another begins here, and does not end: it is passed over.
    """
    finder: LeakFinder | None = None  # made by the pool child itself
    current: tuple[Any, str, float] | None = None
    begins, ends = loader.on_task_init, loader.on_process_cleanup

    def on_task_init(task_id: str, task: Any) -> None:
        nonlocal finder, current
        if current is None:
            if finder is None:
                finder = make()
            current = task, task_id, now()
        begins(task_id, task)

    def on_process_cleanup() -> None:
        nonlocal current
        ended, current = current, None
        try:
            ends()
        finally:
            if ended is not None and finder is not None and finder.has_to_look():
                task, task_id, began = ended
                finder.look(TaskExecution(task.name, task_id, began))

    def undo() -> None:
        del loader.on_task_init, loader.on_process_cleanup
        if finder is not None:
            finder.close()

    loader.on_task_init, loader.on_process_cleanup = on_task_init, on_process_cleanup
    return undo


def by_signals(make: Callable[[], LeakFinder]) -> Callable[[], None]:
    """Follow all tasks of this process by signals, which name the one that ends."""
    finder = make()

    def began(task_id: str, task: Any, **_: Any) -> None:
        if not task.request.is_eager:
            finder.running[task_id] = TaskExecution(task.name, task_id, now())

    def ended(task_id: str, task: Any, **_: Any) -> None:
        execution = finder.running.pop(task_id, None)
        if execution is not None and finder.has_to_look():
            current_task.call_exits(task=task)  # may end a process, and be called after this
            finder.look(execution)

    def undo() -> None:
        task_prerun.disconnect(dispatch_uid=_UID)
        task_postrun.disconnect(dispatch_uid=_UID)
        finder.close()

    task_prerun.connect(began, weak=False, dispatch_uid=_UID)
    task_postrun.connect(ended, weak=False, dispatch_uid=_UID)
    return undo
