"""What a process that runs iterable tasks needs once: hooks around Celery's task life."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from celery import current_task, states
from celery import signals as celery_signals

from celery_graceful import signals
from celery_graceful._celery.children import guard_termination
from celery_graceful.errors import StoreError
from celery_graceful.model.record import Outcome
from celery_graceful.runtime import close_stores
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import ticker
from celery_graceful.tasks.carried import CarriedLeg
from celery_graceful.tasks.graceful import GracefulTask

if TYPE_CHECKING:
    from celery_graceful.tasks.iterable import IterableTask

__all__ = ["guard", "prepare", "warn_without_plugin"]

logger = logging.getLogger("celery_graceful.runs")

#: How long after a child the worker itself may get a signal sent to their group, in seconds.
GROUP_SIGNAL_SPREAD = 0.1

_prepared_in: int | None = None
_warned: set[str] = set()


def prepare() -> None:
    """Connect the hooks, once per process. Spawned children have no other place for it."""
    global _prepared_in
    if _prepared_in == os.getpid():
        return
    _prepared_in = os.getpid()
    celery_signals.task_postrun.connect(_close_run, weak=False, dispatch_uid="graceful-close-run")
    celery_signals.worker_process_shutdown.connect(
        _close_stores, weak=False, dispatch_uid="graceful-close-stores"
    )
    guard_termination(_takes_over)


def guard() -> None:
    """Keep a signal meant for the whole process group from killing the task under way."""
    guard_termination(_takes_over)


def _takes_over() -> bool:
    """Runs in a signal handler of a pool child; returns whether the task lives on."""
    told = [leg.told_to_die() for leg in ticker.legs() if isinstance(leg, CarriedLeg)]
    if told:
        return any(told)
    return isinstance(current_task._get_current_object(), GracefulTask) and _stops_warm()


def _stops_warm() -> bool:
    """Whether the worker stops and waits for its tasks; its own signal may come a moment later."""
    flag = stop_flag.current()
    until = time.monotonic() + GROUP_SIGNAL_SPREAD
    while flag is not None and time.monotonic() < until:
        stop = flag.stop
        if stop is not None:
            return not stop.cold
        time.sleep(0.005)
    return False


def _close_run(sender: Any = None, task: Any = None, state: str | None = None, **_: Any) -> None:
    """Celery has stored the outcome and fired the callbacks: the run has ended."""
    leg = getattr(task.request, "graceful_leg", None)
    if not isinstance(leg, CarriedLeg) or state not in (states.SUCCESS, states.FAILURE):
        return
    completed = state == states.SUCCESS
    try:
        leg.ticket.end(Outcome.COMPLETED if completed else Outcome.FAILED)
    except StoreError as exc:
        logger.error("%s is done, but the store does not know: %s", leg.ticket.run, exc)
    if completed:
        signals.emit(signals.run_completed, task, **leg.details, result=leg.outcome)
    else:
        signals.emit(signals.run_failed, task, **leg.details, exception=leg.error)


def _close_stores(**_: Any) -> None:
    close_stores()


def warn_without_plugin(task: IterableTask) -> None:
    """Say once per task that it cannot be interrupted here."""
    if task.name in _warned:
        return
    _warned.add(task.name)
    logger.warning(
        "%s runs to its end and cannot be interrupted: this worker's app has no Graceful(app). "
        "Create it beside the app, or pass the app to Graceful().init_app.",
        task.name,
    )
