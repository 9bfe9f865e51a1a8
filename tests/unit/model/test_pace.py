"""The history of items: close to the truth, small, the same after a journey."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.model.pace import WORTH, Pace, fewer, more
from celery_graceful.model.run.cursor import Checkpoint, decode, encode

seconds = st.floats(0, 10**6)
histories = st.lists(seconds, min_size=1, max_size=100)

#: How far a step of the scale is from the next one.
STEP = 1.19
LEAST = 0.01


def pace_of(items: list[float]) -> Pace:
    pace = Pace()
    for each in items:
        pace.add(each)
    return pace


def percentile(items: list[float]) -> float:
    return sorted(items)[math.ceil(0.95 * len(items)) - 1]


@given(histories)
def test_p95_is_at_most_a_step_too_long(items: list[float]) -> None:
    truth, p95 = percentile(items), pace_of(items).p95
    assert truth * 0.999 <= p95 <= max(LEAST, truth * STEP)


@given(histories)
def test_what_is_saved_says_the_same(items: list[float]) -> None:
    pace = pace_of(items)
    checkpoint = Checkpoint(5, pace=pace.saved(), batch=3)
    back = decode(encode(checkpoint))
    assert back == checkpoint
    assert Pace(back.pace).need == pace.need
    assert bool(back.pace) == (pace.p95 >= WORTH)


@given(st.lists(st.tuples(seconds, st.integers(1, 10**9)), max_size=200))
def test_it_stays_small(items: list[tuple[float, int]]) -> None:
    pace = Pace()
    for each, many in items:
        pace.add(each, many)
    assert sum(items for _, items in pace.saved()) <= 200
    assert len(encode(Checkpoint(pace=pace.saved()))) < 1500


def test_what_is_new_counts_more_than_what_is_old() -> None:
    pace = Pace()
    pace.add(0.001, 10**9)
    for _ in range(12):
        pace.add(5)
    assert 5 <= pace.p95 <= 5 * STEP
    pace.add(0.001, 10**9)
    assert pace.need == 0


def test_one_slow_item_among_few_is_reckoned_with() -> None:
    assert pace_of([0.1] * 10 + [9]).p95 >= 9
    assert pace_of([0.1] * 100 + [9]).p95 < 1


@given(histories, st.floats(0.1, 10))
def test_scaling(items: list[float], factor: float) -> None:
    pace = pace_of(items)
    before = pace.p95
    pace.scale(factor)
    assert before * factor * 0.999 <= pace.p95 or pace.p95 > 10**6
    assert pace.p95 <= max(LEAST, before * factor * STEP)


def test_nothing_is_known_at_the_beginning() -> None:
    assert Pace().need == Pace().p95 == 0
    assert Pace().saved() == ()
    assert encode(Checkpoint()) == encode(Checkpoint(pace=Pace().saved()))


@given(st.integers(1, 10**6), seconds, st.floats(0.01, 100), st.integers(0, 100))
def test_batches_never_shrink_and_grow_at_once(size: int, p95: float, most: float, n: int) -> None:
    assert not (fewer(size, p95, most) and more(size, 10**6, p95, most, n))
    assert not fewer(1, p95, most)
    if more(size, 10**6, p95, most, n):  # twice as large, it still fits
        assert not fewer(2 * size, 2 * p95, most)


@pytest.mark.parametrize("pace", ["[1]", '[[1,"a"]]', "[[1,-1]]", "7", "[[1,2,3]]"])
def test_a_damaged_history_is_told(pace: str) -> None:
    from celery_graceful.errors import CursorError

    with pytest.raises(CursorError):
        decode(f'{{"cursor":1,"carry":{{}},"steps":1,"total":null,"pace":{pace}}}')


def test_a_checkpoint_of_an_older_version() -> None:
    old = '{"cursor":1,"carry":{},"steps":1,"total":null}'
    assert decode(old) == Checkpoint(1, {}, 1)
    assert encode(decode(old)) == old
