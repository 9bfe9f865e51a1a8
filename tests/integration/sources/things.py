"""Tables with every kind of key, on a database of each kind, and rows for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Double,
    Engine,
    Numeric,
    String,
    Uuid,
    case,
    delete,
    event,
    insert,
    select,
)
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Moment = DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql", "mariadb")


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(20))
    rank: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(Moment)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 6))
    code: Mapped[UUID] = mapped_column(Uuid)
    day: Mapped[date] = mapped_column(Date)
    flag: Mapped[bool] = mapped_column(Boolean)
    weight: Mapped[float] = mapped_column(Double)


class Cell(Base):
    """With a primary key of two columns."""

    __tablename__ = "cells"
    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    column: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int | None]


#: What each may be ordered by.
COLUMNS = {
    Thing: ("name", "rank", "at", "price", "code", "day", "flag", "weight"),
    Cell: ("row", "column", "value"),
}

#: Few values, so that many rows have the same; texts that collations sort in different ways.
texts = st.sampled_from(["", "a", "A", "B", "z", "ä", "Z", "b", "-"])
numbers = st.integers(-1, 2)
moments = st.sampled_from(
    [datetime(2026, 1, 31, 12, 0, 0, micro, timezone.utc) for micro in (0, 1, 500_000, 999_999)]
)
things = st.fixed_dictionaries(
    {
        "name": st.none() | texts,
        "rank": st.none() | numbers,
        "at": moments,
        "price": st.sampled_from([Decimal("0.1"), Decimal("0.100001"), Decimal("-7")]),
        "code": st.sampled_from([UUID(int=1 << shift) for shift in (0, 40, 90, 127)]),
        "day": st.sampled_from([date(2026, 1, 1), date(2026, 12, 31)]),
        "flag": st.booleans(),
        "weight": st.sampled_from([0.1, 1 / 3, -2.5e300]),
    }
)
cells = st.fixed_dictionaries({"value": st.none() | numbers})

Row = dict[str, Any]


@st.composite
def rows_of(draw: st.DrawFn, cls: type[Base], most: int = 8) -> list[Row]:
    """Rows of one of the tables."""
    if cls is Thing:
        found = draw(st.lists(things, max_size=most))
        return [{"id": number * 3, **row} for number, row in enumerate(found)]
    # Texts that no collation takes for the same.
    keys = st.tuples(numbers, st.sampled_from(["a", "b", "Z", "-"]))
    places = draw(st.lists(keys, unique=True, max_size=most))
    return [{"row": row, "column": column, **draw(cells)} for row, column in places]


@st.composite
def orders_of(draw: st.DrawFn, cls: type[Base]) -> list[str]:
    """What ``order_by`` gets: up to three columns in any direction."""
    names = draw(st.lists(st.sampled_from(COLUMNS[cls]), unique=True, max_size=3))
    return [draw(st.sampled_from(["", "-"])) + name for name in names]


class Database:
    """One of the kinds, with both tables."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        Base.metadata.create_all(engine)
        self.queries: list[str] = []
        event.listen(engine, "before_cursor_execute", self._noted)

    def _noted(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.queries.append(statement)

    def fill(self, cls: type[Base], found: Sequence[Row]) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(cls))
            if found:
                connection.execute(insert(cls), list(found))

    def in_order(self, cls: type[Base], order: Sequence[str]) -> list[tuple[Any, ...]]:
        """The primary keys by a plain query, sorted by the database: NULL is the greatest."""
        table: Any = cls.__table__
        primary = list(table.primary_key)
        terms: list[Any] = []
        sign = "-" if order and order[-1].startswith("-") else ""
        more = [sign + c.name for c in primary if c.name not in map(bare, order)]
        for name in [*order, *more]:
            column = table.c[bare(name)]
            for term in (case((column.is_(None), 1), else_=0), column):
                terms.append(term.desc() if name.startswith("-") else term)
        with self.engine.connect() as connection:
            found = connection.execute(select(*primary).order_by(*terms)).all()
        return [tuple(row) for row in found]


def bare(name: str) -> str:
    return name.removeprefix("-")
