"""Batches of a size, and batches that size themselves to a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import SourceError
from celery_graceful.sources import batched, batches, numbers, sequence
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.sources.batching import FIRST_SIZE, TargetSize, in_batches, p90


@given(st.integers(0, 20), st.integers(1, 7), st.integers(1, 7))
def test_any_cut_and_size(length: int, size: int, other: int) -> None:
    pairs = list(batched(sequence(range(length)), size))
    assert pairs == list(batches(sequence(range(length)), size))
    assert [item for items, _ in pairs for item in items] == list(range(length))
    assert all(len(items) == size for items, _ in pairs[:-1])
    done: list[int] = []
    for items, cursor in pairs:
        done += items
        rest = batched(sequence(range(length), cursor=cursor), other)
        assert done + [item for items, _ in rest for item in items] == list(range(length))


def test_no_more_is_read_than_needed() -> None:
    taken = iter([(1, "a"), (2, "b"), (3, "c")])
    assert next(batched(taken, 2)) == ([1, 2], "b")
    assert next(taken) == (3, "c")


class Clock:
    """Moves when a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


def sizes(
    took: Callable[[int, int], float], target: float, most: int | None = None, number: int = 60
) -> list[int]:
    """The sizes of batches; the n-th, of so many items, takes ``took(n, items)`` seconds."""
    clock, seen = Clock(), []
    pairs = in_batches("test", numbers(0, 10**9), TargetSize(target, most, clock))
    for n, (items, _) in enumerate(pairs):
        seen.append(len(items))
        clock.now += took(n, len(items))
        if len(seen) == number:
            assert clock.reads < 2 * number + 2  # not once an item
            return seen
    raise AssertionError


@pytest.mark.parametrize("each", [0.0001, 0.004, 0.02, 1.0])
def test_batches_come_to_fit_the_target(each: float) -> None:
    seen = sizes(lambda n, items: 0.01 + each * items, 0.5)
    assert seen[0] == FIRST_SIZE
    assert all(b <= math.ceil(1.5 * a) for a, b in pairwise(seen))
    assert 0.4 <= 0.01 + each * seen[-1] <= 0.5 or seen[-1] == 1


def test_a_batch_far_over_the_target_is_followed_by_one_of_a_tenth() -> None:
    seen = sizes(lambda n, items: 2.6 if n == 30 else 0.001 * items, 0.5)
    assert seen[30] == 500
    assert seen[31] == 50


def test_one_slow_batch_of_ten_changes_nothing() -> None:
    seen = sizes(lambda n, items: (2 if n % 11 == 10 else 1) * 0.001 * items, 0.5)
    assert min(seen[20:]) >= 499


def test_the_size_beside_a_target_is_the_most() -> None:
    assert max(sizes(lambda n, items: 0.001, 0.5, most=70)) == 70
    assert max(sizes(lambda n, items: 0.001, 0.5, most=4)) == 4


def test_the_worker_may_ask_for_less_than_the_target() -> None:
    token = batch_sizer.set(lambda wanted: min(wanted, 3))
    try:
        assert set(sizes(lambda n, items: 0.0001, 0.5)) == {3}
    finally:
        batch_sizer.reset(token)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=10))
def test_nine_of_ten_do_not_exceed_the_p90(values: list[float]) -> None:
    assert sum(value <= p90(values) for value in values) >= 0.9 * len(values)


def test_it_closes_its_source() -> None:
    closed = []

    def source() -> Iterator[tuple[int, int]]:
        try:
            yield from numbers(0, 9)
        finally:
            closed.append(True)

    batch: Any = batched(source(), 2)
    next(batch)
    batch.close()
    assert closed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, 'give a size, as in batched.source, 100., or target="500ms"'),
        ({"size": 0}, "1 or more, not 0"),
        ({"size": True}, "whole number, not True"),
        ({"size": 2.5}, "whole number, not 2.5"),
        ({"target": "soon"}, "target: 'soon' is not a duration"),
        ({"target": 0}, "more than 0, not 0"),
        ({"target": "1s", "size": -1}, "1 or more, not -1"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batched([], **arguments)


def test_what_is_no_source() -> None:
    with pytest.raises(SourceError, match=r"sources.batched: .* 5 cannot be iterated"):
        batched(5, 2)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"has to yield .item, cursor. pairs"):
        next(batched([1, 2], 2))  # type: ignore[arg-type]
