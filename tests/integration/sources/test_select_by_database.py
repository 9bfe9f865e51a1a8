"""Types that one kind of database alone has, its planner's estimates, and which index it uses."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import date, datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from sqlalchemy import (
    REAL,
    Column,
    Engine,
    Enum,
    Float,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Time,
    create_engine,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import Session, sessionmaker

from celery_graceful import Atomic, IterableTask, sources
from celery_graceful.errors import SourceError
from celery_graceful.testing import assert_resumable

from .things import Database, Thing


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def mariadb(mariadb_url: str) -> Iterator[Engine]:
    engine = create_engine(mariadb_url)
    yield engine
    engine.dispose()


def made(engine: Engine, kind: Any, values: list[Any]) -> Table:
    table = Table(
        "kinds", MetaData(), Column("id", Integer, primary_key=True), Column("value", kind)
    )
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        for value in values:
            connection.execute(insert(table).values(value=value))
    return table


def check(table: Any, engine: Engine, **options: Any) -> list[Any]:
    def read(cursor: Any) -> list[Any]:
        found = sources.select(select(table.c.id), engine, cursor=cursor, batch=2, **options)
        return [(row.id, cursor) for row, cursor in found]

    whole = read(None)
    for done, (_, cursor) in enumerate(whole, 1):
        assert read(cursor) == whole[done:]
    return [key for key, _ in whole]


THING: dict[str, Any] = {
    "at": datetime(2026, 1, 31, tzinfo=timezone.utc),
    "price": 1,
    "code": UUID(int=1),
    "day": date(2026, 1, 31),
    "flag": True,
    "weight": 0.5,
}


class Mood(enum.Enum):
    SAD = "sad"
    OK = "ok"


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "values", "order"),
    [
        (REAL, [1.1, 0.1, 1.1, 16777217.0], [2, 1, 3, 4]),
        (Float(24), [1.1, 0.1, 1.1], [2, 1, 3]),
        (Float, [0.1 + 0.2, 0.3, float("inf"), float("nan"), None], [2, 1, 3, 4, 5]),
        (Numeric(asdecimal=False), ["0.1000000000000000000001", "0.1", "0.1"], [2, 3, 1]),
        (Time(timezone=True), ["12:00+02", "11:00+00", "12:00+02"], [1, 3, 2]),
    ],
)
def test_kinds_of_postgresql(postgres: Engine, kind: Any, values: Any, order: Any) -> None:
    table = made(postgres, kind, [])
    with postgres.begin() as connection:
        for value in values:
            connection.execute(text("INSERT INTO kinds (value) VALUES (:v)"), {"v": value})
    assert check(table, postgres, order_by="value") == order
    assert sorted(check(table, postgres, order_by="-value")) == sorted(order)


@pytest.mark.postgres
def test_texts_that_postgresql_compares_without_case(postgres: Engine) -> None:
    with postgres.begin() as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS citext"))
    table = made(postgres, CITEXT, ["b", "A", "a", "B"])
    assert check(table, postgres, order_by="value") == [2, 3, 1, 4]


@pytest.mark.postgres
def test_an_enum_is_refused(postgres: Engine) -> None:
    table = made(postgres, Enum(Mood), [Mood.SAD])
    with pytest.raises(SourceError, match="value is an ENUM"):
        check(table, postgres, order_by="value")


def test_kinds_of_mariadb(mariadb: Engine) -> None:
    table = made(mariadb, Float, [1.1])
    with pytest.raises(SourceError, match="value is a FLOAT, which MySQL and MariaDB return round"):
        check(table, mariadb, order_by="value")
    table.metadata.drop_all(mariadb)
    table = made(mariadb, Time, [])
    with mariadb.begin() as connection:
        connection.execute(text("INSERT INTO kinds (value) VALUES ('30:00'), ('-1:00'), ('6:00')"))
    assert check(table, mariadb, order_by="value") == [2, 3, 1]


# -- counts and plans ------------------------------------------------------------------------


def many(engine: Engine) -> Table:
    table = Table(
        "many",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("shop", Integer, nullable=False),
        Column("rank", Integer),
        Index("by_shop", "shop", "id"),
        Index("by_rank", "rank", "id"),
    )
    table.metadata.create_all(engine)
    rows = [{"shop": n % 50, "rank": n % 60 or None} for n in range(3000)]
    with engine.begin() as connection:
        connection.execute(insert(table), rows)
        analyze = "ANALYZE" if engine.dialect.name != "mysql" else "ANALYZE TABLE many"
        connection.execute(text(analyze))
    return table


@pytest.mark.parametrize("kind", [pytest.param("postgres", marks=pytest.mark.postgres), "mariadb"])
def test_an_estimate_counts_nothing(request: pytest.FixtureRequest, kind: str) -> None:
    engine = request.getfixturevalue(kind)
    table = many(engine)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, k, stmt, *_: asked.append(stmt))
    for target in (engine, Session(engine)):
        found = sources.select(select(table).where(table.c.id > 1500), target, count="estimate")
        estimate = found.count()
        assert estimate is not None
        assert 700 < estimate < 3500
    assert all(stmt.startswith("EXPLAIN") for stmt in asked)
    joined = select(table.c.id).join(other := table.alias("other"), other.c.id == table.c.id)
    assert 500 < (sources.select(joined, engine, count="estimate").count() or 0) < 10000


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres), "mariadb"]
)
def test_pages_come_from_an_index(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    if kind == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path}/many.db")
    else:
        engine = request.getfixturevalue(kind)
    table = many(engine)
    asked: list[Any] = []
    event.listen(engine, "before_cursor_execute", lambda c, k, s, v, *_: asked.append((s, v)))
    for order in ("id", "-id", "shop", ["-shop", "-id"], "rank", "-rank"):
        _, cursor = next(islice(sources.select(select(table), engine, order_by=order), 1999, None))
        asked.clear()
        next(sources.select(select(table), engine, order_by=order, batch=10, cursor=cursor))
        ((stmt, values),) = asked
        explain = "EXPLAIN QUERY PLAN " if kind == "sqlite" else "EXPLAIN "
        with engine.connect() as connection:
            shown = "\n".join(map(str, connection.exec_driver_sql(explain + stmt, values)))
        slow = ("Sort", "TEMP B-TREE", "filesort", "SCAN many", "Seq Scan")
        assert not any(word in shown for word in slow), shown
    engine.dispose()


# -- in an atomic task -----------------------------------------------------------------------


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.matrix)])
def test_in_the_transaction_of_an_atomic_task(database: Database, every: int) -> None:
    make_session = sessionmaker(database.engine)
    app = Celery("shop", set_as_current=False, broker="memory://")

    class Double(IterableTask):
        name = "shop.double"
        atomic = Atomic.sqlalchemy(make_session, every=every)

        def build_enumerator(self, *, cursor: Any) -> Any:
            stmt = select(Thing).order_by(Thing.name.desc())
            return sources.select(stmt, self.transaction.session, cursor=cursor, batch=2)

        def each_iteration(self, thing: Thing) -> None:
            thing.rank = 2 * (thing.rank or 0) + 1

    task = app.register_task(Double())

    def reset() -> None:
        database.fill(Thing, [{**THING, "id": n, "name": "ab"[n % 2], "rank": n} for n in range(5)])

    def outcome() -> list[Any]:
        with database.engine.connect() as connection:
            return list(connection.execute(select(Thing.id, Thing.rank).order_by(Thing.id)))

    reset()
    assert_resumable(task, outcome=outcome, reset=reset)
    assert [row.rank for row in outcome()] == [2 * n + 1 for n in range(5)]
