"""A record that vanished from the store while its run was under way: fences, and what is logged."""

from __future__ import annotations

import logging

from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.text.counting import counted

logger = logging.getLogger("celery_graceful.runs")

CAUSES = "FLUSHALL, an eviction, a restart without persistence, or a deleted key or row"


def fresh_fence(now: float) -> int:
    """A fence that no other owner can hold: the microseconds of the clock at ``now``.

    A record that vanished takes the count of its fences with it. Counted from 1 again, the new
    fence could be that of an owner that is still at work. Only equality matters, so the clocks
    of hosts may differ.
    """
    return max(1, int(now * 1e6))


def warn_written_back(run: RunKey, record: Record) -> None:
    """Log that the owner has written the record of its run back."""
    logger.warning(
        "%s: its record vanished from the store (%s). It is written back and the run continues;"
        " last saved: cursor %s, %s done. See the how-to on operating runs",
        run,
        CAUSES,
        _cursor(record),
        counted(record.steps, "item"),
    )


def warn_begun(run: RunKey, record: Record) -> None:
    """Log that a message that is not the run's first has found no record."""
    if record.checkpoint is not None:
        where = f"continues after cursor {_cursor(record)}, from the checkpoint in its message"
    else:
        where = "starts from the beginning: its message has no checkpoint"
    logger.warning(
        "%s: a message of generation %d came and the store has no record of the run. Either it"
        " ended and was forgotten, or its record vanished (%s). It %s",
        run,
        record.generation,
        CAUSES,
        where,
    )


def _cursor(record: Record) -> str:
    if record.checkpoint is None:
        return "None"
    try:
        return f"{decode(record.checkpoint).cursor!r:.200}"
    except Exception as exc:  # only for a line of the log; whoever runs it says what is wrong
        return f"that cannot be read ({exc!r:.100})"
