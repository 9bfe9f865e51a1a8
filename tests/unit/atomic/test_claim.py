"""What becomes of a row when an execution claims it."""

from __future__ import annotations

import pytest

from celery_graceful.atomic.database import Claim, Row, settled

NOW, KEPT = 1000.0, 100.0
CLAIM = Claim("proj", "task", "id", 3, "10.5", "execution", "store's", 5, KEPT)
ROW = Row(2, "10.5", "row's", 7, None, NOW - 1)


def test_no_row() -> None:
    assert settled(None, CLAIM, NOW) == Row(3, "10.5", "store's", 5, None, NOW)


@pytest.mark.parametrize("fence", [1, 2, 3, 4])
def test_the_row_of_this_run_knows_better(fence: int) -> None:
    """A higher fence too: a store may have lost its last writes, and admitted the execution."""
    row = settled(ROW._replace(fence=fence, result="result"), CLAIM, NOW)
    assert row == Row(3, "10.5", "row's", 7, "result", NOW)


def test_a_run_that_has_committed_nothing_begins_anew() -> None:
    row = settled(ROW._replace(checkpoint=None, steps=0), CLAIM._replace(steps=0), NOW)
    assert row.checkpoint is None


def test_the_task_was_not_atomic_for_a_while() -> None:
    assert settled(ROW, CLAIM._replace(steps=8), NOW).checkpoint == "store's"


def test_a_used_id_begins_anew() -> None:
    claim = CLAIM._replace(after=2)
    assert settled(ROW._replace(started="9.5"), claim, NOW).checkpoint == "store's"


@pytest.mark.parametrize("fence", [1, 3, 9])
def test_the_store_has_lost_the_run(fence: int) -> None:
    row = settled(ROW._replace(started="9.5", fence=fence), CLAIM, NOW)
    assert row == Row(3, "10.5", "row's", 7, None, NOW)


def test_the_store_has_forgotten_a_run_that_ended_long_ago() -> None:
    old = ROW._replace(started="9.5", fence=9, updated_at=NOW - KEPT)
    assert settled(old, CLAIM, NOW).checkpoint == "store's"
