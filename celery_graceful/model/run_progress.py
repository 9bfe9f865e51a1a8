"""How far a run has come, how fast it is, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery_graceful.model.run.cursor import Checkpoint
from celery_graceful.model.run.history import PastExecution

#: A checkpoint older than this, in seconds, says nothing of how fast its run is now.
STALE = 120.0
#: Items that were done in less, in seconds, say nothing of a rate.
_SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Exact within an item, in the thread that runs the task; elsewhere as of the loop's last look.
    """

    #: Items done since the run began, over all executions.
    current: int
    #: What ``count()`` returned at the start, or ``None``.
    total: int | None
    #: Everything up to and including this is done; ``None`` before the first item.
    cursor: Any
    #: How often the run was resumed.
    resumptions: int
    #: When the run began (UTC).
    started_at: datetime
    #: With ``track_in_doubt``: the cursor of the one item that an earlier execution may have run
    #: already, until it has run here; else ``None``.
    in_doubt: Any = None
    #: With ``max_failed_items``: the quarantined items since the run began.
    errors: int = 0

    @property
    def percent(self) -> float | None:
        """``current`` in percent of ``total``, at most 100; ``None`` without a total."""
        return percent_of(self.current, self.total)


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
    return done / seconds if seconds >= _SHORTEST and done >= 0 else None


def time_left(steps: int, total: int | None, rate: float | None) -> float | None:
    """Seconds until all items are done at this rate; ``None``: not known."""
    if total is None or not rate:
        return None
    return max(0, total - steps) / rate
