"""What any task may ask: is my worker stopping, how long have I got, sleep until then."""

from __future__ import annotations

import time

from celery_graceful.model.reasons import StopReason
from celery_graceful.stop import flag

__all__ = ["sleep", "stopping", "time_left"]

#: How often a sleeping task looks at the flag, in seconds.
TICK = 0.05


def stopping() -> StopReason | None:
    """Why the worker that runs the current task is stopping; ``None`` while it is not.

    One byte of memory is read: cheap enough for every turn of a loop. Outside of a worker, and in
    a worker without ``Graceful(app)``, always ``None``.
    """
    shared = flag.seen()
    stop = shared.stop if shared is not None else None
    return stop.reason if stop is not None else None


def time_left() -> float | None:
    """Seconds until the worker is killed; ``None`` when it does not stop or knows no deadline."""
    shared = flag.seen()
    if shared is None or not shared.raised or shared.deadline is None:
        return None
    return max(0.0, shared.deadline - time.monotonic())


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
