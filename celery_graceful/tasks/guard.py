"""Keeping a SIGTERM that was meant for a whole process group from killing the task under way."""

from __future__ import annotations

import time

from celery import current_task

from celery_graceful._celery.children import guard_termination
from celery_graceful.stop import flag as stop_flag
from celery_graceful.tasks import ticker

__all__ = ["install"]

#: How long after a child the worker itself may get a signal sent to their group, in seconds.
GROUP_SIGNAL_SPREAD = 0.1
_LOOK = 0.005


def install() -> None:
    """Guard this process, if it is a pool child; doing it again changes nothing."""
    guard_termination(_lives_on)


def _lives_on() -> bool:
    """Whether the task under way deals with the signal. Runs in a signal handler."""
    told = [leg.told_to_die() for leg in ticker.legs()]
    if told:
        return any(told)
    return getattr(current_task, "stops_by_itself", False) and _stops_warm()


def _stops_warm() -> bool:
    """Whether the worker stops and waits for its tasks; its own signal may come a moment later."""
    flag = stop_flag.current()
    until = time.monotonic() + GROUP_SIGNAL_SPREAD
    while flag is not None and time.monotonic() < until:
        stop = flag.stop
        if stop is not None:
            return not stop.cold
        time.sleep(_LOOK)
    return False
