"""How long a worker has, and how much of it is its tasks'."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.grace.deadlines import Grace, margin_of, own_end


@pytest.mark.parametrize(
    ("seconds", "margin"), [(5, 2.5), (10, 2.5), (30, 6), (60, 10), (3600, 10), (2, 2), (0.5, 0.5)]
)
def test_the_margin(seconds: float, margin: float) -> None:
    assert margin_of(seconds) == margin


@given(st.floats(min_value=0.01, max_value=1e6))
def test_tasks_never_get_more_than_there_is(seconds: float) -> None:
    grace = Grace(seconds, margin_of(seconds), "a test")
    assert 0 <= grace.for_tasks <= seconds
    assert grace.for_tasks == pytest.approx(seconds - grace.margin)


def test_a_margin_longer_than_the_period() -> None:
    assert Grace(5, 60, "a test").for_tasks == 0


@pytest.mark.parametrize(
    ("deadline", "until"), [(None, 110.0), (106.0, 102.4), (100.0, 100.0), (90.0, 100.0)]
)
def test_until_when_a_task_may_end_by_itself(deadline: float | None, until: float) -> None:
    assert own_end(100.0, deadline) == pytest.approx(until)
