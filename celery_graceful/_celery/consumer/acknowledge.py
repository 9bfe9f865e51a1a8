"""Acknowledging a finished run while its child is at the next task already.

A prefork pool hands the next job to a child after the main process has dealt with the last one's
result. A late acknowledgement belongs to that, and on Redis it is a round trip that the child
waits for: as long as a short task takes. Tried on Celery 5.5 to 5.7 with kombu 5.5 to 5.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("celery_graceful.worker")


class NextJobFirst:
    """Puts off what can wait until the pool's next job is on its way to its child.

    The event loop writes jobs at the end of the turn after the one that brought a result, so what
    is put off waits for the beginning of the turn after that. Nothing waits when no job does, or
    when the worker stops.

    Args:
        jobs: what the pool has still to hand out; only looked at.
    """

    def __init__(self, jobs: Any) -> None:
        self._jobs = jobs
        self._put_off: list[Callable[[], None]] = []
        self._seen = 0
        self._closed = False

    def __call__(self, act: Callable[[], None]) -> None:
        if self._closed or not self._jobs:
            act()
        else:
            self._put_off.append(act)

    def tick(self) -> None:
        """A turn of the event loop begins."""
        due, self._seen = self._seen, len(self._put_off)
        if due:
            self._seen -= due
            self._act(due)

    def close(self) -> None:
        """Nothing waits any longer: the worker stops."""
        self._closed, self._seen = True, 0
        self._act(len(self._put_off))

    def _act(self, count: int) -> None:
        for _ in range(count):
            act = self._put_off.pop(0)
            try:
                act()
            except Exception:  # else one would keep back the others, or end the event loop
                logger.exception("What was put off could not be done: %r", act)


def next_job_first(worker: Any, hub: Any) -> NextJobFirst | None:
    """For a worker's pool, if that is a prefork pool on an event loop."""
    jobs = getattr(getattr(worker.pool, "_pool", None), "outbound_buffer", None)
    if jobs is None:
        return None
    later = NextJobFirst(jobs)
    hub.on_tick.add(later.tick)
    return later


def acks_on_timeout(task: Any) -> bool:
    """Whether a hard time limit ends a task; else its message is to be delivered again.

    Celery has ``acks_on_timeout`` since 5.7, and ``acks_on_failure_or_timeout`` before.
    """
    own = getattr(task, "acks_on_timeout", None)
    if own is None:
        own = getattr(task, "acks_on_failure_or_timeout", None)
    return True if own is None else bool(own)
