"""What any task may ask: do I have to leave, how long have I got, sleep until then."""

from __future__ import annotations

import time

from celery_graceful.grace.deadlines import own_end
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag

__all__ = ["sleep", "stopping", "time_left", "time_to_end"]

#: How often a sleeping task checks the flag, in seconds.
TICK = 0.05


def stopping() -> StopReason | None:
    """Why the current task should leave: its worker stops, or it is held by maintenance.

    A few bytes of memory are read: cheap enough for every turn of a loop. ``None`` while there is
    no reason; outside of a worker, and in a worker without ``Graceful(app)``, always.
    """
    shared = flag.seen()
    if shared is None:
        return None
    stop = shared.stop
    if stop is not None:
        return stop.reason
    if shared.mode_snapshot:
        from celery_graceful.stop import hold

        if hold.current_task_has_to_stop(shared):
            return StopReason.MAINTENANCE
    return None


def time_left() -> float | None:
    """Seconds until this task will be ended; ``None`` without a stop, or without a deadline.

    The worker ends what still runs a margin before it is killed itself, so that it can give it back
    (``graceful_grace_period``, ``graceful_kill_margin``).
    """
    shared = flag.seen()
    if shared is None or not shared.raised:
        return None
    end = shared.cut or shared.deadline
    return None if end is None else max(0.0, end - time.monotonic())


def time_to_end() -> float | None:
    """Seconds until this task must have ended, its clean-up included; ``None`` as above.

    That is after :func:`time_left`: whoever is cut off has a part of the margin to end by itself.
    """
    shared = flag.seen()
    if shared is None or not shared.raised:
        return None
    cut, deadline = shared.cut, shared.deadline
    end = deadline if cut is None else own_end(cut, deadline)
    return None if end is None else max(0.0, end - time.monotonic())


def sleep(seconds: float) -> StopReason | None:
    """Sleep, but no longer than until the worker is asked to stop.

    Args:
        seconds: how long to sleep.

    Returns:
        ``None`` after the whole time, else the stop reason (see :func:`stopping`).
    """
    until = time.monotonic() + seconds
    while True:
        reason = stopping()
        left = until - time.monotonic()
        if reason is not None or left <= 0:
            return reason
        time.sleep(min(TICK, left))
