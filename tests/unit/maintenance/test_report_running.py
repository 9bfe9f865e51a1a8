"""What a worker's report says of tasks that run, and of those that wait in it for a slot."""

from __future__ import annotations

import pytest

from celery_graceful.cli.status import worker_row
from celery_graceful.maintenance.barrier import WorkerState, WorkerStatus
from celery_graceful.maintenance.workers import Busy, Report


def report(*seconds: float, slots: int = 2) -> Report:
    busy = tuple(Busy("shop.mail", f"id-{n}", "celery", each) for n, each in enumerate(seconds))
    return Report("w1@host", 1, "prefork", slots, busy=busy, busy_count=len(busy))


@pytest.mark.parametrize(
    ("found", "ids", "shown"),
    [
        (report(), [], "0/2"),
        (report(3.0, 0.0), ["id-0", "id-1"], "2/2"),
        (report(0.0, 3.0, 0.0, 4.0, 0.0, 0.0), ["id-1", "id-3"], "2/2, 4 wait"),
        (report(3.0, 4.0, 0.0), ["id-0", "id-1"], "2/2, 1 waits"),
        # More than there are slots, while one of them is asked to end.
        (report(3.0, 4.0, 5.0), ["id-0", "id-1", "id-2"], "3/2"),
    ],
)
def test_only_as_many_run_as_there_are_slots(found: Report, ids: list[str], shown: str) -> None:
    assert [each.id for each in found.running] == ids
    row = worker_row(WorkerStatus(found.hostname, WorkerState.RUNNING, found, age=1.0))
    assert row[4] == shown
