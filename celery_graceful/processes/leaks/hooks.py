"""Where a task begins and ends: what Celery calls then, as cheap as can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.signals import task_postrun, task_prerun

from celery_graceful.processes import at_exit
from celery_graceful.processes.leaks.table import now
from celery_graceful.processes.leaks.watch import Execution, Watch

_UID = "graceful-leaks"


def serial(loader: Any, kill: bool) -> Callable[[], None]:
    """Hook into an app's loader, which hears of each task; returns what ends that.

    For processes that run one task after the other. A signal would cost twice what the look does.
    A task that is run eagerly within another begins here, and does not end: it is passed over.
    """
    watch: Watch | None = None  # made by the pool child itself
    current: tuple[Any, str, float] | None = None
    begins, ends = loader.on_task_init, loader.on_process_cleanup

    def on_task_init(task_id: str, task: Any) -> None:
        nonlocal watch, current
        if current is None:
            if watch is None:
                watch = Watch(kill=kill)
            current = task, task_id, now()
        begins(task_id, task)

    def on_process_cleanup() -> None:
        nonlocal current
        ended, current = current, None
        try:
            ends()
        finally:
            if ended is not None and watch is not None and watch.is_worth_a_look():
                task, task_id, began = ended
                watch.look(Execution(task.name, task_id, began))

    def forget() -> None:
        del loader.on_task_init, loader.on_process_cleanup
        if watch is not None:
            watch.close()

    loader.on_task_init, loader.on_process_cleanup = on_task_init, on_process_cleanup
    return forget


def overlapping(kill: bool) -> Callable[[], None]:
    """Hear of all tasks of this process by signals, which name the one that ends."""
    watch = Watch(kill=kill)

    def began(task_id: str, task: Any, **_: Any) -> None:
        if not task.request.is_eager:
            watch.running[task_id] = Execution(task.name, task_id, now())

    def ended(task_id: str, task: Any, **_: Any) -> None:
        execution = watch.running.pop(task_id, None)
        if execution is not None and watch.is_worth_a_look():
            at_exit.on_end(task=task)  # may be about to end a process, and be called after this
            watch.look(execution)

    def forget() -> None:
        task_prerun.disconnect(dispatch_uid=_UID)
        task_postrun.disconnect(dispatch_uid=_UID)
        watch.close()

    task_prerun.connect(began, weak=False, dispatch_uid=_UID)
    task_postrun.connect(ended, weak=False, dispatch_uid=_UID)
    return forget
