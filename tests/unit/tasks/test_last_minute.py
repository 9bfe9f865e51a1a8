"""How fast a run is: right at a steady pace, whatever happens to the host's clock."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.execution.journal.store_journal import EACH, LastMinute
from celery_graceful.model.run.cursor import Checkpoint, decode, encode
from celery_graceful.model.run_progress import STALE, rate_now

BEGAN = 1_700_000_000.0
PACE = 4
#: Seconds until the next checkpoint, and by how much the host's clock is set before it.
GAPS = st.tuples(
    st.floats(0.05, 600), st.sampled_from([0.0, 0.0, 0.0, 3600.0, -3600.0, -90.0, 1e9, -1e9])
)


class Clocks:
    """The two clocks of a host."""

    def __init__(self) -> None:
        self.wall, self.steady = BEGAN, 50.0

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks() -> Iterator[Clocks]:
    yield from _clocks()


def _clocks() -> Iterator[Clocks]:
    clocks, module = Clocks(), "celery_graceful.execution.journal.store_journal.time"
    with patch(module) as time:
        time.time.side_effect = lambda: clocks.wall
        time.monotonic.side_effect = lambda: clocks.steady
        yield clocks


@settings(max_examples=40)
@given(st.lists(GAPS, min_size=1, max_size=30))
def test_a_steady_pace_is_seen_under_any_clock(gaps: list[tuple[float, float]]) -> None:
    for clocks in _clocks():
        minute, passed = LastMinute(BEGAN, 0), 0.0
        for seconds, set_by in gaps:
            clocks.wall = max(1e4, clocks.wall + set_by)
            clocks.pass_time(seconds)
            passed += seconds
            steps = int(passed * PACE)
            saved = minute.stamp(Checkpoint(cursor=1, steps=steps))
            assert (saved.at, saved.steps) == (clocks.wall, steps)
            assert saved.at > saved.sampled_at >= 0
            assert decode(encode(saved)).sampled_at == pytest.approx(saved.sampled_at, abs=0.002)
            measured = saved.at - saved.sampled_at
            rate = rate_now(saved, steps, clocks.wall)
            assert rate is not None
            # A whole item more or less at both ends.
            assert abs(rate - PACE) <= 2 / measured + 1e-3


@settings(max_examples=20)
@given(st.lists(st.floats(0.5, 5), min_size=1, max_size=60))
def test_at_most_a_minute_is_measured_while_checkpoints_come(gaps: list[float]) -> None:
    for clocks in _clocks():
        minute = LastMinute(BEGAN, 0)
        for number, seconds in enumerate(gaps):
            clocks.pass_time(seconds)
            saved = minute.stamp(Checkpoint(steps=number))
            assert saved.at - saved.sampled_at <= 2 * EACH + 5 + 1e-6


def test_a_run_that_slows_down_is_seen_to_within_a_minute(clocks: Clocks) -> None:
    minute, steps = LastMinute(BEGAN, 0), 0
    for pace in [100] * 120 + [1] * 65:
        clocks.pass_time(1)
        steps += pace
        saved = minute.stamp(Checkpoint(steps=steps))
    assert rate_now(saved, steps, clocks.wall) == pytest.approx(1, rel=0.1)


def test_items_that_are_done_again_begin_the_measure_anew(clocks: Clocks) -> None:
    minute = LastMinute(BEGAN, 100)
    clocks.pass_time(10)
    minute.stamp(Checkpoint(steps=140))
    clocks.pass_time(1)
    assert rate_now(again := minute.stamp(Checkpoint(steps=50)), 50, clocks.wall) is None
    assert (again.sampled_at, again.sampled_steps) == (clocks.wall, 50)
    clocks.pass_time(10)
    assert rate_now(minute.stamp(Checkpoint(steps=70)), 70, clocks.wall) == pytest.approx(2)


def test_an_execution_that_seems_to_begin_later_than_now(clocks: Clocks) -> None:
    minute = LastMinute(BEGAN + 3600, 0)
    clocks.pass_time(10)
    assert rate_now(minute.stamp(Checkpoint(steps=20)), 20, clocks.wall) == pytest.approx(2)


def test_a_gap_says_nothing_of_now(clocks: Clocks) -> None:
    minute = LastMinute(BEGAN, 0)
    clocks.pass_time(10)
    saved = minute.stamp(Checkpoint(steps=20))
    clocks.pass_time(STALE)
    assert rate_now(saved, 20, clocks.wall) == pytest.approx(2)
    clocks.pass_time(0.1)
    assert rate_now(saved, 20, clocks.wall) is None
