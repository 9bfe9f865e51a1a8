"""The row that an atomic task keeps of a run: outdated by a rewind, and by nothing else."""

from __future__ import annotations

import pytest

from celery_graceful.atomic.database import Claim, Row, settled
from celery_graceful.execution.journal.atomic_work import _started
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.record import Outcome, Record, State, replace
from celery_graceful.model.run.verdict import Policy

NOW = 1796077875.123456
#: Fences are of a clock's microseconds, as a worker gives them.
FENCE = 1796077875123456
CANCELLED = Record(
    State.ENDED,
    generation=3,
    fence=FENCE + 1,
    started_at=NOW,
    checkpoint="four",
    steps=4,
    outcome=Outcome.CANCELLED,
    envelope=b"message",
)
ROW = Row(FENCE, _started(CANCELLED), "six", 6, None, NOW)


@pytest.mark.parametrize(
    ("event", "checkpoint"),
    [
        (ev.Retry(3, b"message"), "six"),
        (ev.Retry(3, b"message", rewinds=True, checkpoint="two"), "two"),
        (ev.Retry(3, b"message", rewinds=True), None),
    ],
)
def test_where_the_next_execution_begins(event: ev.Event, checkpoint: str | None) -> None:
    record = decide(CANCELLED, event, NOW, Policy()).record
    assert record is not None
    admitted = decide(record, ev.Admit(4, "w1", envelope=b"message"), NOW, Policy()).record
    assert admitted is not None
    row = settled(ROW, _claim(admitted), NOW)
    assert row.checkpoint == checkpoint
    later = settled(row, _claim(replace(admitted, fence=admitted.fence + 1)), NOW)
    assert later.checkpoint == checkpoint, "the execution after it finds its own row"
    assert len(row.started) <= 32


def _claim(record: Record) -> Claim:
    return Claim(
        "shop",
        "task",
        "id",
        record.fence,
        _started(record),
        "x",
        record.checkpoint,
        record.steps,
        600.0,
        record.after,
    )
