"""Keeping a SIGTERM that was meant for a whole process group from killing the task under way."""

from __future__ import annotations

import time
from typing import Any

from celery import current_task
from celery.signals import task_prerun

from celery_graceful._celery.pool.children import guard_termination
from celery_graceful.execution.loop import ticker
from celery_graceful.execution.stopping import stop_hooks
from celery_graceful.stop import flag as stop_flag

#: How long after a child the worker itself may get a signal sent to their group, in seconds. On a
#: busy machine it needs time to be run at all; a task that ends meanwhile is lost.
GROUP_SIGNAL_SPREAD = 1.0
#: The same for a task with a hard time limit: that sends the same signal, and SIGKILL after 0.1 s.
SPREAD_WITH_LIMIT = 0.04
_LOOK = 0.005
_UID = "graceful-guard"


def install() -> None:
    """Guard this process, if it is a pool child; doing it again changes nothing."""
    guard_termination(_lives_on)


def install_at_first_task() -> None:
    """Guard each pool child when its first task begins, whatever its kind.

    For a worker that cuts its tasks off in time: until then they may run on.
    """
    task_prerun.connect(_install_once, weak=False, dispatch_uid=_UID)


def _install_once(**_: Any) -> None:
    install()
    task_prerun.disconnect(dispatch_uid=_UID)


def _lives_on() -> bool:
    """Whether the task under way deals with the signal. Runs in a signal handler.

    Raises:
        CutOff: in a task that is cut off, and wants it so.
    """
    stop_hooks.raise_if_cut()
    answers = [execution.on_term_signal() for execution in ticker.executions()]
    return any(answers) if answers else _stops_warm()


def _stops_warm() -> bool:
    """Whether the worker stops and waits for the task; its own signal may come a moment later."""
    if not current_task:
        return False  # between two tasks: nothing is cut off
    flag = stop_flag.current()
    until = time.monotonic() + _spread()
    while flag is not None and time.monotonic() < until:
        stop = flag.stop
        if stop is not None:
            return not stop.cold and (_stops_by_itself() or flag.cut is not None)
        time.sleep(_LOOK)
    return False


def _stops_by_itself() -> bool:
    return bool(getattr(current_task, "stops_by_itself", False))


def _spread() -> float:
    hard_limit = (getattr(current_task.request, "timelimit", None) or (None,))[0]
    limited = hard_limit and not _stops_by_itself()
    return SPREAD_WITH_LIMIT if limited else GROUP_SIGNAL_SPREAD
