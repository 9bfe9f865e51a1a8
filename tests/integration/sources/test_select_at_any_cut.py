"""``sources.select`` is interrupted anywhere, rows change meanwhile, and a plain loop is right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, inspect, select, update

from celery_graceful import sources

from .things import COLUMNS, Base, Cell, Database, Thing, cells, orders_of, rows_of, things

FEW = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MANY = settings(FEW, max_examples=300)

tables = st.sampled_from([Thing, Cell])


def read(database: Database, cls: type[Base], cursor: Any = None, **options: Any) -> list[Any]:
    """Pairs of primary key and cursor, the latter as a checkpoint brings it back."""
    stmt = options.pop("stmt", None)
    found = sources.select(
        select(cls) if stmt is None else stmt,
        database.engine,
        cursor=json.loads(json.dumps(cursor)),
        **options,
    )
    return [(inspect(item).identity, cursor) for item, cursor in found]


def check_any_cut(database: Database, data: st.DataObject) -> None:
    cls: Any = data.draw(tables)
    order = data.draw(orders_of(cls))
    database.fill(cls, data.draw(rows_of(cls)))
    plain = database.in_order(cls, order)
    pairs = read(database, cls, order_by=order, batch=data.draw(st.integers(1, 4)))
    assert [key for key, _ in pairs] == plain
    for done, (_, cursor) in enumerate(pairs, 1):
        batch = data.draw(st.integers(1, 9))
        again = read(database, cls, cursor, order_by=order, batch=batch)
        assert again == pairs[done:], f"{order} behind {cursor}"


@FEW
@given(data=st.data())
def test_any_cut_of_any_order(database: Database, data: st.DataObject) -> None:
    check_any_cut(database, data)


@pytest.mark.matrix
@MANY
@given(data=st.data())
def test_any_cut_of_any_order_at_length(database: Database, data: st.DataObject) -> None:
    check_any_cut(database, data)


def check_changes(database: Database, data: st.DataObject) -> None:
    """What was seen and stays is not seen again; what is behind the cursor is."""
    cls: Any = data.draw(tables)
    order = data.draw(orders_of(cls))
    database.fill(cls, data.draw(rows_of(cls)))
    cursor, touched = None, set()
    seen: list[Any] = []
    for _ in range(data.draw(st.integers(1, 3))):
        left = read(database, cls, cursor, order_by=order, batch=data.draw(st.integers(1, 3)))
        part = left[: data.draw(st.integers(0, len(left)))]
        seen += [key for key, _ in part]
        cursor = part[-1][1] if part else cursor
        touched |= change(database, cls, data)
    rest = [key for key, _ in read(database, cls, cursor, order_by=order, batch=2)]
    plain = database.in_order(cls, order)
    assert rest == plain[len(plain) - len(rest) :], f"{order} behind {cursor}"
    stays = [key for key in plain if key not in touched]
    assert [key for key in seen + rest if key in stays] == stays, f"{order} behind {cursor}"


def change(database: Database, cls: Any, data: st.DataObject) -> set[Any]:
    """Insert, delete and update rows anywhere; returns their keys."""
    keys = database.in_order(cls, [])
    primary = list(cls.__table__.primary_key)
    touched = set()
    with database.engine.begin() as connection:
        for key in data.draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []:
            where = [column == value for column, value in zip(primary, key, strict=True)]
            touched.add(key)
            if data.draw(st.booleans()):
                connection.execute(delete(cls).where(*where))
            else:
                values: Any = data.draw(things if cls is Thing else cells)
                connection.execute(update(cls).where(*where).values(**values))
    if cls is Thing and data.draw(st.booleans()):
        new = max((key[0] for key in keys), default=0) + data.draw(st.sampled_from([1, -1000]))
        if (new,) not in keys:
            touched.add((new,))
            with database.engine.begin() as connection:
                connection.execute(insert(cls).values(id=new, **data.draw(things)))
    return touched


@FEW
@given(data=st.data())
def test_rows_that_change_between_executions(database: Database, data: st.DataObject) -> None:
    check_changes(database, data)


@pytest.mark.matrix
@MANY
@given(data=st.data())
def test_rows_that_change_at_length(database: Database, data: st.DataObject) -> None:
    check_changes(database, data)


@FEW
@given(data=st.data())
def test_an_upper_bound_ends_the_rows_at_a_key(database: Database, data: st.DataObject) -> None:
    cls: Any = data.draw(tables)
    order = data.draw(orders_of(cls))
    database.fill(cls, data.draw(rows_of(cls)))
    plain = database.in_order(cls, order)
    frozen = read(database, cls, order_by=order, batch=2, upper_bound="now")
    assert [key for key, _ in frozen] == plain
    if frozen:
        change(database, cls, data)
        again = read(database, cls, frozen[0][1], order_by=order, batch=2, upper_bound="now")
        (head, *_), last = frozen[0][1], again[-1:]
        assert all(cursor[0] == head for _, cursor in again)
        assert not last or last[0][0] in database.in_order(cls, order)


def test_every_column_is_an_order() -> None:
    assert set(COLUMNS[Thing]) == set(Thing.__table__.c.keys()) - {"id"}
