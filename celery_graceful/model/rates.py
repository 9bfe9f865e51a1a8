"""How fast a run is, and how long it will take: of its checkpoint, its record and the time."""

from __future__ import annotations

from celery_graceful.model.run.cursor import Checkpoint
from celery_graceful.model.run.history import PastExecution

#: A checkpoint older than this, in seconds, says nothing of how fast its run is now.
STALE = 120.0


def percent_of(steps: int, total: int | None) -> float | None:
    """Items done in percent of all, at most 100; ``None`` without a total."""
    return min(100.0, 100.0 * steps / total) if total else None


def worked(executions: tuple[PastExecution, ...], said: float, until: float | None) -> float | None:
    """Seconds that a run's executions have worked, the present one included.

    Args:
        executions: those that are known, with the one under way.
        said: what past ones have said of themselves at their ends; 0: nothing.
        until: when the count of items was taken, in Unix seconds; ``None``: nobody knows, so while
            one is under way the answer is ``None``.
    """
    past = said or sum(each.ended - each.began for each in executions if each.ended is not None)
    for present in executions:
        if present.ended is None:
            if until is None:
                return None
            past += max(0.0, until - present.began)
    return past or None


def rate_now(checkpoint: Checkpoint | None, steps: int, now: float) -> float | None:
    """Items per second over about the last minute; ``None``: not known.

    Args:
        checkpoint: the last one.
        steps: the items done by then since the run began.
        now: the present time, in Unix seconds.
    """
    if checkpoint is None or not checkpoint.at or now - checkpoint.at > STALE:
        return None
    seconds = checkpoint.at - checkpoint.sampled_at
    done = steps - checkpoint.sampled_steps
    return done / seconds if seconds > 0 and done >= 0 else None


def time_left(steps: int, total: int | None, rate: float | None) -> float | None:
    """Seconds until all items are done at this rate; ``None``: not known."""
    if total is None or not rate:
        return None
    return max(0, total - steps) / rate
