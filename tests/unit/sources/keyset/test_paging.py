"""The pure core against rows in memory: conditions and terms are evaluated by Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.keyset.key_cursors import Cursors
from celery_graceful.sources.keyset.order import Key, Order, total_order
from celery_graceful.sources.keyset.predicate import (
    AllOf,
    Compare,
    CompareRows,
    Condition,
    IsNull,
    OneOf,
    Segment,
)
from celery_graceful.sources.keyset.row_pages import rows

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}
Row = dict[str, Any]


def holds(row: Row, condition: Condition) -> bool:
    """As a database has it: a comparison with ``NULL`` holds for no row."""
    match condition:
        case Compare(name, operator, value):
            return row[name] is not None and OPERATORS[operator](row[name], value)
        case CompareRows(names, operator, values):
            return OPERATORS[operator](tuple(row[name] for name in names), values)
        case IsNull(name, null):
            return (row[name] is None) == null
        case AllOf(conditions):
            return all(holds(row, part) for part in conditions)
        case OneOf(conditions):
            return any(holds(row, part) for part in conditions)


class Table:
    """Rows, and what a source's ``fetch`` does with them."""

    def __init__(self, order: Order, found: Sequence[Row]) -> None:
        self.order, self.rows, self.queries = order, list(found), 0

    def fetch(self, segment: Segment, limit: int) -> tuple[list[Any], list[Any]]:
        self.queries += 1
        found = [row for row in self.rows if holds(row, AllOf(segment.conditions))]
        for term in reversed(segment.terms):
            assert term.ranked or all(row[term.name] is not None for row in found)
            found.sort(key=lambda row: ranked(row[term.name]), reverse=term.descending)
        names = self.order.names
        keys = [tuple(row[n] for n in names) if names[1:] else row[names[0]] for row in found]
        return found[:limit], keys[:limit]

    def in_order(self) -> list[Row]:
        found = list(self.rows)
        for key in reversed(self.order.keys):
            found.sort(key=lambda row: ranked(row[key.name]), reverse=key.descending)
        return found


def ranked(value: Any) -> tuple[bool, Any]:
    return value is None, 0 if value is None else value


orders = st.builds(
    lambda a, b, c: Order((Key("a", *a), Key("b", *b), Key("id", c))),
    st.tuples(st.booleans(), st.booleans()),
    st.tuples(st.booleans(), st.booleans()),
    st.booleans(),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    order = draw(orders)
    a, b, _ = (
        st.none() | st.integers(0, 2) if key.nullable else st.integers(0, 2) for key in order.keys
    )
    found = [{"a": draw(a), "b": draw(b), "id": n} for n in range(draw(st.integers(0, 9)))]
    return Table(order, found)


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 4), st.booleans(), st.data())
def test_any_cut_of_any_order(table: Table, batch: int, row_values: bool, data: Any) -> None:
    cursors, plain = Cursors("x", table.order), table.in_order()

    def read(cursor: Any, **more: Any) -> list[Any]:
        place = cursors.read(cursor)
        return list(rows(table.fetch, cursors, place, batch=batch, row_values=row_values, **more))

    pairs = read(None)
    assert [row for row, _ in pairs] == plain
    for done, (_, cursor) in enumerate(pairs, 1):
        again = json.loads(json.dumps(cursor))
        assert read(again) == pairs[done:]
    if plain:
        end = data.draw(st.integers(0, len(plain) - 1))
        width = data.draw(st.integers(1, 3))
        until = tuple(plain[end][name] for name in table.order.names[:width])
        kept = [row for row, _ in read(None, upper_bound=until)]
        last = max(
            i
            for i, row in enumerate(plain)
            if tuple(row[name] for name in table.order.names[:width]) == until
        )
        assert kept == plain[: last + 1]


@given(tables(), st.integers(1, 4))
def test_now_freezes_the_end_in_the_cursor(table: Table, batch: int) -> None:
    cursors, plain = Cursors("x", table.order), table.in_order()
    begun = rows(table.fetch, cursors, cursors.read(None), batch=batch, upper_bound="now")
    first = next(begun, None)
    if first is None:
        assert not plain
        return
    table.rows += [{"a": a, "b": b, "id": n} for n in (-1, 99) for a in (0, 2) for b in (0, 2)]
    again = list(rows(table.fetch, cursors, cursors.read(first[1]), batch=2, upper_bound="now"))
    seen = [row for row, _ in again]
    assert [row for row in seen if 0 <= row["id"] < 99] == plain[1:]
    assert not seen or seen[-1] == plain[-1]


@pytest.mark.parametrize("descending", [False, True])
def test_the_last_row_of_all_may_have_no_value(descending: bool) -> None:
    table = Table(Order((Key("a", descending, True),)), [{"a": 1}, {"a": None}, {"a": 2}])
    cursors = Cursors("x", table.order)
    pairs = list(rows(table.fetch, cursors, cursors.read(None), batch=1))
    assert [row for row, _ in pairs] == table.in_order()
    assert list(rows(table.fetch, cursors, cursors.read(pairs[-1][1]), batch=1)) == []


def test_lists_have_the_cursor_of_their_last_row() -> None:
    order = total_order("x", [], ["id"])
    table = Table(order, [{"id": n} for n in range(5)])
    cursors = Cursors("x", order)
    lists = list(rows(table.fetch, cursors, cursors.read(None), batch=2, lists=True))
    assert lists == [([{"id": 0}, {"id": 1}], 1), ([{"id": 2}, {"id": 3}], 3), ([{"id": 4}], 4)]
    assert table.queries == 3


@pytest.mark.parametrize("order_by", [[], [("name", True)]])
@pytest.mark.parametrize("cut", [None, 1])
def test_a_value_that_the_database_compares_otherwise_ends_the_source(
    order_by: list[Any], cut: int | None
) -> None:
    order = total_order("x", order_by, ["id"])
    cursors = Cursors("x", order)
    keys: list[Any] = [("1.1", 7), ("1.1", 6)] if order_by else ["1.1", "1.2"]

    def fetch(segment: Segment, limit: int) -> tuple[list[Any], list[Any]]:
        return ["row", "row"], keys[:]

    source = rows(fetch, cursors, cursors.read(None), batch=2)
    cursor = [next(source) for _ in range(2)][-1 if cut is None else 0][1]
    with pytest.raises(SourceError, match="comes again behind itself"):
        next(source) if cut is None else next(rows(fetch, cursors, cursors.read(cursor), batch=1))


@pytest.mark.parametrize(
    "cursor",
    ["x", 1.5, [], [3], ["-id", 3], ["id"], ["id", 1, 2], [{"order": "id"}, 3], ["id", None], {}],
)
def test_foreign_cursors(cursor: Any) -> None:
    cursors = Cursors("sources.x", total_order("x", [], ["id"]), [(int,)])
    with pytest.raises(CursorError, match=r"sources\.x"):
        cursors.read(cursor)


@pytest.mark.parametrize(
    ("asked", "primary_key", "message"),
    [
        ([("no", False)], ["id"], "the column 'no', which is not there; there are id, name"),
        ([("name", False), ("name", True)], ["id"], "'name' twice"),
        ([("name", False)], [], "no primary key"),
    ],
)
def test_orders_that_are_refused(asked: Any, primary_key: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        total_order("x", asked, primary_key, known=["id", "name"])
