"""Durations from positions: nothing is lost or made up, and a long item is seen for what it is."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.execution.loop import Stand
from celery_graceful.execution.loop.pacing import Sampler
from celery_graceful.model.pace import Pace

TICK = 0.05
EACH = st.floats(0.0001, 3)


class Noted(Pace):
    """Keeps all it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, int]] = []

    def add(self, seconds: float, items: int = 1) -> None:
        self.told.append((seconds, items))
        super().add(seconds, items)


def sampled(items: list[float], tick: float = TICK) -> tuple[Noted, float, int]:
    """What is noted of these items; when the last look was, and how many had ended."""
    ends = list(accumulate(items))
    pace = Noted()
    sampler = Sampler(pace)
    now, ended = 0.0, 0
    while now < ends[-1]:
        ended = bisect_right(ends, now)
        sampler.observe(now, ended + 1)
        now += tick
    return pace, now - tick - sampler.age(now - tick), ended


@given(st.lists(EACH, min_size=1, max_size=50))
def test_time_and_items_are_kept(items: list[float]) -> None:
    pace, seen_until, ended = sampled(items)
    assert sum(n for _, n in pace.told) == ended
    assert sum(s * n for s, n in pace.told) == pytest.approx(seen_until, abs=1e-6)


@given(st.lists(st.floats(0.2, 30), min_size=2, max_size=20))
def test_long_items_are_seen_one_by_one(items: list[float]) -> None:
    pace, _, ended = sampled(items)
    assert [n for _, n in pace.told] == [1] * ended
    for (seen, _), truth in zip(pace.told, items, strict=False):
        assert abs(seen - truth) <= TICK + 1e-6


@given(st.integers(1, 500), st.floats(0.2, 10), st.integers(1, 500))
def test_a_long_item_among_short_ones_stands_out(before: int, long: float, after: int) -> None:
    pace, _, _ = sampled([*[0.001] * before, long, *[0.001] * after, 1])
    assert max(s for s, _ in pace.told) == pytest.approx(long, abs=2 * TICK)


def test_an_item_that_ends_in_a_pause_counts() -> None:
    pace = Noted()
    sampler = Sampler(pace)
    for now in (0.0, 0.5, 1.0):
        sampler.observe(now, 1)
    assert sampler.age(1.2) == pytest.approx(1.2)
    sampler.observe(1.5, None)
    sampler.observe(9.0, None)
    assert pace.told == [(1.5, 1)]
    assert sampler.age(9.0) == 0
    sampler.observe(9.1, 2)  # the pause is nobody's
    sampler.observe(9.2, 3)
    assert [round(s, 6) for s, _ in pace.told] == [1.5, 0.1]


def test_a_loop_that_begins_anew() -> None:
    pace = Noted()
    sampler = Sampler(pace)
    sampler.observe(1.0, 7)
    sampler.observe(2.0, 1)
    assert pace.told == []


def test_where_a_loop_stands() -> None:
    fuse = [0, 1, 2, 3]
    numbers = iter(fuse)
    stand = Stand(10, numbers)
    assert stand.begun == 10
    next(numbers)
    next(numbers)
    assert stand.begun == 12
    fuse.clear()  # blown, while the item goes on
    assert stand.begun == 12
