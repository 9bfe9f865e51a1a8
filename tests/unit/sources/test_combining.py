"""Sources made of sources, in any composition, interrupted anywhere."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources import (
    SKIPPED,
    batched,
    chained,
    filtered,
    nested,
    numbers,
    sequence,
    skipping,
)
from celery_graceful.sources.keyset.row_source import RowSource
from celery_graceful.sources.skipping import UNMOVED


def chance(item: Any, of: int) -> int:
    """A number below ``of`` that only depends on the item."""
    return zlib.crc32(repr(item).encode()) % of


class Composed(NamedTuple):
    """A source, and the items that a plain loop would have."""

    build: Callable[..., Iterator[tuple[Any, Any]]]
    items: list[Any]


def of_numbers(first: int, length: int) -> Composed:
    return Composed(
        lambda cursor: numbers(first, first + length, cursor=cursor),
        list(range(first, first + length)),
    )


def of_filtered(inner: Composed, of: int) -> Composed:
    def wanted(item: Any) -> bool:
        return chance(item, of) == 0

    return Composed(
        lambda cursor: filtered(inner.build(cursor=cursor), wanted),
        [item for item in inner.items if wanted(item)],
    )


def of_batched(inner: Composed, size: int) -> Composed:
    return Composed(
        lambda cursor: batched(inner.build(cursor=cursor), size),
        [inner.items[i : i + size] for i in range(0, len(inner.items), size)],
    )


def of_chained(parts: list[Composed]) -> Composed:
    return Composed(
        lambda cursor: chained(*(part.build for part in parts), cursor=cursor),
        [item for part in parts for item in part.items],
    )


def of_nested(outer: Composed, tuples: bool, deep: bool) -> Composed:
    def children(*above: Any, cursor: Any) -> Iterator[tuple[Any, Any]]:
        return numbers(0, chance(above, 4), cursor=cursor)

    found: list[Any] = []
    for item in outer.items:
        for child in range(chance((item,), 4)):
            below: list[Any] = [(item, child)]
            if deep:
                below = [(item, child, each) for each in range(chance((item, child), 4))]
            found += below if tuples else [path[-1] for path in below]
    levels = [outer.build, children, children] if deep else [outer.build, children]
    return Composed(lambda cursor: nested(levels, cursor=cursor, tuples=tuples), found)


compositions = st.recursive(
    st.builds(of_numbers, st.integers(-5, 5), st.integers(0, 8)),
    lambda inner: (
        st.builds(of_filtered, inner, st.integers(1, 4))
        | st.builds(of_batched, inner, st.integers(1, 4))
        | st.builds(of_chained, st.lists(inner, min_size=1, max_size=3))
        | st.builds(of_nested, inner, st.booleans(), st.booleans())
    ),
    max_leaves=5,
)


def saved(cursor: Any) -> Any:
    """The cursor, as JSON brings it back."""
    return json.loads(json.dumps(cursor))


@settings(max_examples=150)
@given(compositions)
def test_after_every_item_it_continues_with_the_next(composed: Composed) -> None:
    pairs = list(composed.build(cursor=None))
    assert [item for item, _ in pairs] == composed.items
    for done, (_, cursor) in enumerate(pairs, 1):
        rest = [item for item, _ in composed.build(cursor=saved(cursor))]
        assert rest == composed.items[done:]


@settings(max_examples=150)
@given(compositions, st.builds(random.Random, st.integers(0, 10**6)))
def test_interrupted_at_random(composed: Composed, chances: random.Random) -> None:
    done: list[Any] = []
    cursor = None
    while True:
        pairs: Any = composed.build(cursor=saved(cursor))
        more = chances.randrange(4)
        for _ in range(more):
            item, cursor = next(pairs, (SKIPPED, cursor))
            if item is SKIPPED:
                assert done == composed.items
                return
            done.append(item)
        close = getattr(pairs, "close", None)
        if close is not None:
            close()


@pytest.fixture(scope="module")
def marks_everywhere() -> Iterator[None]:
    """A marker for each item that is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skipping, "MARK_EVERY", 0.0)
        yield


@pytest.mark.usefixtures("marks_everywhere")
@settings(max_examples=150)
@given(compositions)
def test_after_every_marker_it_continues_with_the_next(composed: Composed) -> None:
    source = composed.build(cursor=None)
    done, cursor = 0, None
    for item, reached in skipping.marked("test", source):
        done += item is not SKIPPED
        if reached is not UNMOVED:
            cursor = saved(reached)
        if item is SKIPPED:
            rest = [item for item, _ in composed.build(cursor=cursor)]
            # Behind the last item done, whose batch may be under way.
            assert rest == composed.items[done:]
    assert done == len(composed.items)


# -- filtered --------------------------------------------------------------------------------


@pytest.mark.usefixtures("marks_everywhere")
def test_what_is_left_out_moves_the_cursor() -> None:
    source = filtered(numbers(0, 5), lambda n: n == 3)
    assert list(source.with_skipped()) == [
        (SKIPPED, 0),
        (SKIPPED, 1),
        (SKIPPED, 2),
        (3, 3),
        (SKIPPED, 4),
    ]
    assert list(filtered(numbers(0, 5), lambda n: n == 3)) == [(3, 3)]


@pytest.mark.usefixtures("marks_everywhere")
def test_a_batch_is_filled_over_a_stretch_without_items() -> None:
    source: Any = batched(filtered(numbers(0, 9), lambda n: n % 4 == 1), 2)
    assert list(source.with_skipped()) == [
        (SKIPPED, 0),
        (SKIPPED, 0),
        (SKIPPED, 0),
        (SKIPPED, 0),
        ([1, 5], 5),
        (SKIPPED, 6),
        (SKIPPED, 7),
        (SKIPPED, 8),
    ]


def test_a_wrong_predicate_or_source() -> None:
    with pytest.raises(TypeError, match=r"predicate must be a function .*, not 3"):
        filtered(numbers(0, 3), 3)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="7 cannot be iterated"):
        filtered(7, bool)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"has to yield .item, cursor. pairs"):
        next(filtered([7], bool))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="invalid literal"):  # the predicate's own
        next(filtered(sequence(["x"]), int))


# -- chained ---------------------------------------------------------------------------------


def test_a_source_is_built_when_it_is_reached() -> None:
    def late(cursor: Any) -> Any:
        raise FileNotFoundError("late.csv")

    source = chained(partial(numbers, 0, 2), late)
    assert [next(source), next(source)] == [(0, [0, 0]), (1, [0, 1])]
    with pytest.raises(FileNotFoundError):
        next(source)


def test_sources_can_be_added_at_the_end() -> None:
    both = partial(numbers, 0, 2), partial(numbers, 7, 9)
    assert [item for item, _ in chained(*both, cursor=[0, 1])] == [7, 8]


@pytest.mark.parametrize("cursor", [3, [0], [0, 1, 2], ["0", 1], [-1, 0], [True, 0], {"a": 1}])
def test_a_foreign_cursor_of_chained(cursor: Any) -> None:
    with pytest.raises(CursorError, match=r"sources.chained: the cursor must be \[index"):
        chained(partial(numbers, 0, 2), cursor=cursor)


def test_fewer_sources_than_before() -> None:
    with pytest.raises(CursorError, match="in source 1, counted from 0, and there is 1 source"):
        chained(partial(numbers, 0, 2), cursor=[1, 7])


def test_no_functions() -> None:
    with pytest.raises(TypeError, match="source 1 must be a function that takes a cursor"):
        chained(numbers(0, 2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs at least one source"):
        chained()
    with pytest.raises(TypeError, match="source 2 must be a function"):
        nested([partial(numbers, 0, 2), numbers(0, 2)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a list of two functions or more"):
        nested([partial(numbers, 0, 2)])
    with pytest.raises(SourceError, match="None cannot be iterated"):
        next(chained(lambda cursor: None))  # type: ignore[arg-type,return-value]


# -- nested ----------------------------------------------------------------------------------


class Parents:
    """Numbered parents that come and go; each has three children."""

    def __init__(self, numbered: set[int]) -> None:
        self.numbered = numbered

    def outer(self, cursor: int | None) -> Iterator[tuple[int, int]]:
        for number in sorted(self.numbered):
            if cursor is None or number > cursor:
                yield number, number

    def inner(self, parent: int, cursor: int | None) -> Iterator[tuple[str, int]]:
        return ((f"{parent}.{child}", child) for child, _ in numbers(0, 3, cursor=cursor))

    def source(self, cursor: Any) -> Any:
        return nested([self.outer, self.inner], cursor=saved(cursor))


@settings(max_examples=150)
@given(st.sets(st.integers(0, 30), max_size=10), st.builds(random.Random, st.integers(0, 10**6)))
def test_parents_come_and_go_between_executions(numbered: set[int], chances: random.Random) -> None:
    parents, cursor = Parents(set(numbered)), None
    ever = set(numbered)
    done: list[str] = []
    while True:
        source, ended = parents.source(cursor), True
        for item, cursor in source:  # noqa: B007
            done.append(item)
            if chances.random() < 0.4:
                ended = False
                break
        source.close()
        if ended:
            break
        if parents.numbered and chances.random() < 0.4:
            parents.numbered.discard(chances.choice(sorted(parents.numbered)))
        new = chances.randrange(40)
        if chances.random() < 0.4 and new not in ever:  # one that comes back may be done again
            parents.numbered.add(new)
            ever.add(new)
    assert len(done) == len(set(done))
    assert {f"{n}.{c}" for n in parents.numbered & numbered for c in range(3)} <= set(done)


def test_the_place_within_a_parent_that_has_vanished_is_not_that_of_the_next() -> None:
    parents = Parents({1, 2, 3})
    source = parents.source(None)
    for _ in range(5):
        item, cursor = next(source)
    assert (item, cursor) == ("2.1", [1, 2, 1])
    parents.numbered = {1, 3}
    assert [item for item, _ in parents.source(cursor)] == ["3.0", "3.1", "3.2"]


def test_the_place_within_a_parent_survives_one_inserted_before_it() -> None:
    parents = Parents({1, 4})
    source = parents.source(None)
    for _ in range(4):
        item, cursor = next(source)
    assert (item, cursor) == ("4.0", [1, 4, 0])
    parents.numbered.add(2)
    source = parents.source(cursor)
    assert next(source) == ("2.0", [1, 2, 0, [4, 0]])
    rest = [item for item, _ in parents.source([1, 2, 0, [4, 0]])]
    assert rest == ["2.1", "2.2", "4.1", "4.2"]


@pytest.mark.parametrize(
    "cursor", [3, [1, 2], "abc", [1, 2, 3, 4], [1, 2, 3, [4]], {"done": 1}, []]
)
def test_a_foreign_cursor_of_nested(cursor: Any) -> None:
    parents = Parents({1})
    with pytest.raises(CursorError, match=r"sources.nested: the cursor must be \[done, at, inner"):
        parents.source(cursor)
    if cursor == [1, 2, 3, 4]:
        return
    deeper: list[Any] = [
        parents.outer,
        parents.inner,
        lambda *above, cursor: numbers(0, 3, cursor=cursor),
    ]
    with pytest.raises(CursorError, match=r"sources\.nested"):
        nested(deeper, cursor=[1, 2, cursor])


def test_all_that_was_opened_is_closed() -> None:
    opened: list[str] = []

    def source(name: str, length: int, cursor: Any) -> Iterator[tuple[int, int]]:
        opened.append(name)
        try:
            yield from numbers(0, length, cursor=cursor)
        finally:
            opened.remove(name)

    def child(_: int, cursor: Any) -> Iterator[tuple[int, int]]:
        return source("inner", 3, cursor)

    def all_of(cursor: Any) -> Any:
        return nested([partial(source, "outer", 2), child], cursor=cursor)

    for taken in range(8):
        combined: Any = batched(filtered(chained(all_of), lambda n: n != 1), 1)
        for _ in range(taken):
            next(combined, None)
        combined.close()
        assert opened == []


def test_combinations_do_not_count_what_nobody_knows_before_the_end() -> None:
    def rows(cursor: Any = None) -> Any:
        return RowSource(numbers(0, 9, cursor=cursor), lambda: 9)

    assert rows().count() == 9
    combined: list[Any] = [
        filtered(rows(), bool),
        batched(rows(), 2),
        batched(rows(), target="1s"),
        chained(rows, rows),
        nested([rows, lambda outer, cursor: rows(cursor)]),
    ]
    assert [source for source in combined if hasattr(source, "count")] == []
