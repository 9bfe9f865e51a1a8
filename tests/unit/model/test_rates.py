"""What is made of the counts and moments of a run: a number that can be shown, or nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celery_graceful.model.run.cursor import Checkpoint
from celery_graceful.model.run.history import PastExecution
from celery_graceful.model.run_progress import percent_of, rate_now, time_left, worked

COUNTS = st.integers(0, 2**53)
MOMENTS = st.floats(0, 1e12)


@given(COUNTS, COUNTS, MOMENTS, MOMENTS, MOMENTS)
@example(9, 0, 5e-324, 0.0, 0.0)
def test_a_rate_is_a_number_or_not_known(
    steps: int, before: int, at: float, since: float, now: float
) -> None:
    saved = Checkpoint(at=at, sampled_at=since, sampled_steps=before)
    rate = rate_now(saved, steps, now)
    assert rate is None or (math.isfinite(rate) and rate >= 0)
    if steps < before or since >= at:
        assert rate is None


def test_without_a_checkpoint_or_its_time() -> None:
    assert rate_now(None, 5, 100.0) is None
    assert rate_now(Checkpoint(steps=5), 5, 100.0) is None


@given(COUNTS, st.none() | COUNTS, st.none() | st.floats(0, 1e15))
def test_what_is_left_never_is_negative(steps: int, total: int | None, rate: float | None) -> None:
    left, percent = time_left(steps, total, rate), percent_of(steps, total)
    assert left is None or left >= 0
    assert percent is None or 0 <= percent <= 100
    if total is None:
        assert (left, percent) == (None, None)
    if not rate:
        assert left is None


@pytest.mark.parametrize(
    ("steps", "total", "rate", "left"),
    [(40, 100, 2.0, 30.0), (100, 100, 2.0, 0.0), (120, 100, 2.0, 0.0), (0, 0, 2.0, 0.0)],
)
def test_time_left(steps: int, total: int, rate: float, left: float) -> None:
    assert time_left(steps, total, rate) == left


def _execution(began: float, ended: float | None) -> PastExecution:
    return PastExecution("w", began, ended, 5, None if ended is None else "shutdown")


@given(st.lists(st.tuples(MOMENTS, st.floats(0, 1e6)), max_size=5), MOMENTS, MOMENTS)
def test_time_worked(past: list[tuple[float, float]], began: float, until: float) -> None:
    """The executions, and the present one until the count was taken, on whatever clock."""
    ended = tuple(_execution(at, at + took) for at, took in past)
    done = sum(each.ended - each.began for each in ended if each.ended is not None)
    assert worked(ended, 0.0, None) == (done or None)
    present = (*ended, _execution(began, None))
    assert worked(present, 0.0, None) is None
    seconds = worked(present, 0.0, until)
    assert seconds is None or seconds >= done
    assert seconds is not None or until <= began


def test_what_executions_have_said_counts_and_not_their_moments() -> None:
    assert worked((_execution(10.0, 90.0),), 7.5, None) == 7.5
    assert worked((_execution(10.0, 90.0), _execution(100.0, None)), 7.5, 102.0) == 9.5
