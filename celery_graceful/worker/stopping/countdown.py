"""Logging, from the stop signal on, how many seconds are left and what still runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from celery_graceful._celery.consumer.running import UnderWay
from celery_graceful.stop.flag import StopFlag
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.worker")

#: Seconds between two lines where nobody knows how long is left.
EVERY = 30.0
#: Less than so many seconds apart, and before the end, no line is written.
LEAST = 1.0
#: Tasks that are named in a line.
NAMED = 10


class Countdown:
    """Writes a line into the log now and then, while something runs.

    Args:
        flag: the worker's stop flag; it is up.
        spares_plain: whether only iterable tasks are cut off.
    """

    def __init__(self, flag: StopFlag, spares_plain: Callable[[], bool] = lambda: False) -> None:
        self._flag = flag
        self._spares_plain = spares_plain
        self._began = time.monotonic()
        self._due = self._began + next_line_in(self.left)

    @property
    def left(self) -> float | None:
        """Seconds until tasks are cut off, if they will be."""
        cut = self._flag.cut
        return None if cut is None else cut - time.monotonic()

    @property
    def pause(self) -> float:
        """Seconds until the next line is due, or tasks are cut off."""
        pause = self._due - time.monotonic()
        left = self.left
        return max(0.0, pause if left is None else min(pause, left))

    def tell(self, running: Callable[[], list[UnderWay]]) -> None:
        """Write the line, if one is due."""
        now, left = time.monotonic(), self.left
        if now < self._due or (left is not None and left < LEAST / 2):
            return
        self._due = now + next_line_in(left)
        tasks = running()
        if tasks and left is None:
            waited = now - self._began
            logger.info("Stopping for %.0f s; still running: %s", waited, described(tasks))
        elif tasks:
            logger.info(
                "%.0f s until %s are cut off; still running: %s",
                left,
                "iterable tasks" if self._spares_plain() else "tasks",
                described(tasks),
            )


def next_line_in(left: float | None) -> float:
    """How long until the next line, with so many seconds left: the fewer, the more often."""
    return EVERY if left is None else max(LEAST, left / 2)


def described(tasks: list[UnderWay]) -> str:
    """Tasks in one line: name, id, how long they have run."""
    named = [f"{task.name}[{task.id}] ({task.seconds:.0f} s)" for task in tasks[:NAMED]]
    more = len(tasks) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def what_runs(runs: int, others: list[UnderWay]) -> str:
    """What a worker that stops waits for, in one line.

    Args:
        runs: how many iterable tasks there are.
        others: the other tasks.
    """
    parts = []
    if runs:
        are = counted(runs, "iterable task is", "iterable tasks are")
        parts.append(f"{are} stopping after the current item")
    if others:
        other = "other " if runs else ""
        are = counted(len(others), f"{other}task is", f"{other}tasks are")
        parts.append(f"{are} running: {described(others)}")
    return "; ".join(parts) or "nothing is running"
