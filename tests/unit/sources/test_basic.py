from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.errors import CursorError
from celery_graceful.sources import batches, numbers, sequence


@given(st.lists(st.integers()) | st.text() | st.builds(range, st.integers(0, 20)))
def test_sequence_at_any_cut(items: Sequence[Any]) -> None:
    pairs = list(sequence(items))
    assert [item for item, _ in pairs] == list(items)
    for done, (_, cursor) in enumerate(pairs, 1):
        assert list(sequence(items, cursor=cursor)) == pairs[done:]


@pytest.mark.parametrize(
    ("cursor", "message"), [(3, "beyond the last of 3 items"), (-1, "0 or more"), ("a", "not 'a'")]
)
def test_sequence_cursors_that_do_not_fit(cursor: Any, message: str) -> None:
    with pytest.raises(CursorError, match=message):
        sequence([1, 2, 3], cursor=cursor)


@pytest.mark.parametrize("items", [iter([1]), {1}])
def test_what_is_no_sequence(items: Any) -> None:
    with pytest.raises(TypeError, match="needs a list or another sequence, not"):
        sequence(items)


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_numbers_at_any_cut(start: int, stop: int) -> None:
    pairs = list(numbers(start, stop))
    assert [item for item, _ in pairs] == list(range(start, stop))
    for done, (_, cursor) in enumerate(pairs, 1):
        assert list(numbers(start, stop, cursor=cursor)) == pairs[done:]


def test_numbers_with_moved_bounds() -> None:
    assert [n for n, _ in numbers(5, 8, cursor=2)] == [5, 6, 7]
    assert list(numbers(5, 8, cursor=9)) == []
    with pytest.raises(CursorError, match="whole number"):
        numbers(5, 8, cursor="6")  # type: ignore[arg-type]


@given(st.integers(0, 20), st.integers(1, 7), st.integers(1, 7))
def test_batches_at_any_cut_and_size(length: int, size: int, other: int) -> None:
    pairs = list(batches(sequence(range(length)), size))
    assert [item for items, _ in pairs for item in items] == list(range(length))
    assert all(len(items) == size for items, _ in pairs[:-1])
    done: list[int] = []
    for items, cursor in pairs:
        done += items
        rest = batches(sequence(range(length), cursor=cursor), other)
        assert done + [item for items, _ in rest for item in items] == list(range(length))


def test_batches_read_no_further_than_needed() -> None:
    taken = iter([(1, "a"), (2, "b"), (3, "c")])
    assert next(batches(taken, 2)) == ([1, 2], "b")
    assert next(taken) == (3, "c")


def test_batch_size() -> None:
    with pytest.raises(ValueError, match="1 or more, not 0"):
        batches([], 0)
