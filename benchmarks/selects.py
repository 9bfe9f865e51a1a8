"""The table that sources are measured on, and what ``sources.select`` is measured with."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from sqlalchemy import Engine, Index, String, cast, insert, literal, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.keyset import CHUNK, Pass
from celery_graceful import sources

#: Objects of SQLAlchemy take several times as long as those of Django.
PART = 0.1


class Base(DeclarativeBase):
    pass


class Sale(Base):
    __tablename__ = "sales"
    __table_args__ = (Index("sales_by_shop", "shop", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shop: Mapped[int]
    buyer: Mapped[str] = mapped_column(String(60))
    cents: Mapped[int]
    note: Mapped[str | None] = mapped_column(String(60))


def fill(engine: Engine, rows: int) -> None:
    """Make the table with so many rows: the database copies those that it has."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Sale).values(id=0, shop=0, buyer="buyer-0@example.com", cents=0))
        there = 1
        while there < rows:
            connection.execute(_copies(there, min(there, rows - there)))
            there += min(there, rows - there)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE sales")


def _copies(there: int, more: int) -> Any:
    number = Sale.id + there
    buyer = literal("buyer-") + cast(number % 5000, String(10)) + "@example.com"
    shop = number % 1000 * 7919 % 1000
    found = select(number, shop, buyer, number % 9973).where(Sale.id < more).order_by(Sale.id)
    return insert(Sale).from_select(["id", "shop", "buyer", "cents"], found)


def passes(engine: Engine) -> list[Pass]:
    """What ``sources.select`` is measured with."""
    table = Sale.__table__

    def objects(**options: Any) -> Iterator[Any]:
        return iter(sources.select(select(Sale), engine, batch=CHUNK, **options))

    def plain_objects() -> Generator[Any, None, None]:
        with Session(engine) as session:
            stmt = select(Sale).order_by(Sale.id).execution_options(yield_per=CHUNK)
            yield from session.scalars(stmt)

    def rows(**options: Any) -> Iterator[Any]:
        return iter(sources.select(select(table), engine, batch=CHUNK, **options))

    def plain_rows() -> Generator[Any, None, None]:
        with engine.connect().execution_options(yield_per=CHUNK) as connection:
            yield from connection.execute(select(table).order_by(table.c.id))

    def by_shop(**options: Any) -> Iterator[Any]:
        stmt = select(Sale)
        return iter(sources.select(stmt, engine, order_by="shop", batch=CHUNK, **options))

    def plain_by_shop() -> Generator[Any, None, None]:
        with Session(engine) as session:
            stmt = select(Sale).order_by(Sale.shop, Sale.id)
            yield from session.scalars(stmt.execution_options(yield_per=CHUNK))

    return [
        Pass("select, objects", objects, plain_objects, part=PART),
        Pass("select, objects by shop", by_shop, plain_by_shop, part=PART, by_shop=True),
        # A row of plain values costs so little that the queries of the pages are seen.
        Pass("select, rows", rows, plain_rows, bound=None),
    ]
