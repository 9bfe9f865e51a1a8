"""What becomes of a run's row when an execution claims it: decides only."""

from __future__ import annotations

from celery_graceful.atomic.base import Claim, Row


def settled(row: Row | None, claim: Claim, now: float) -> Row:
    """The row to write for ``claim``, which the store has admitted.

    Args:
        row: what stands there.
        claim: the execution's.
        now: Unix time, in seconds.
    """
    fresh = Row(claim.fence, claim.started, claim.checkpoint, claim.steps, None, now)
    if row is None or not _same_run(row, claim, now):
        return fresh
    if claim.steps > row.steps:  # the task was not atomic for a while
        return fresh
    return row._replace(fence=claim.fence, started=claim.started, updated_at=now)


def _same_run(row: Row, claim: Claim, now: float) -> bool:
    if row.started == claim.started:
        return True
    if claim.after >= row.fence:  # the store remembers that run, and that it ended
        return False
    # The store has forgotten it. After the end that is as it should be; before, data was lost,
    # and the row knows better.
    return now < row.updated_at + claim.kept_for
