"""Atomic tasks in the test kit: what is not committed goes back with the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    delete,
    insert,
    select,
)
from sqlalchemy.orm import sessionmaker

from celery_graceful import Atomic, IterableTask
from celery_graceful.testing import assert_resumable
from tests.harness.django_aliases import alias_for

rows = Table("rows", MetaData(), Column("number", Integer, primary_key=True))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    rows.metadata.create_all(engine)
    yield engine
    engine.dispose()


def task_of(engine: Engine, *, commits: bool) -> Any:
    """A task whose every item is a new row: a row that is written twice is an error."""
    app = Celery("proj", broker="memory://", set_as_current=False)
    make_session = sessionmaker(engine)

    @app.task(
        base=IterableTask,
        bind=True,
        name="proj.rows",
        shared=False,
        atomic=Atomic.sqlalchemy(make_session, every=3) if commits else None,
    )
    def write(self: Any, last: int, *, cursor: int = 0) -> Iterator[int]:
        for number in range(cursor + 1, last + 1):
            if commits:
                self.transaction.session.execute(insert(rows), {"number": number})
            else:
                with engine.begin() as connection:
                    connection.execute(insert(rows), {"number": number})
            yield number

    return write


def test_of_djangos_orm(engine: Engine) -> None:
    from django.db import connections

    with alias_for(str(engine.url)) as alias:
        app = Celery("proj", broker="memory://", set_as_current=False)

        @app.task(
            base=IterableTask,
            bind=True,
            name="proj.rows",
            shared=False,
            atomic=Atomic.django(using=alias, every=3),
        )
        def write(self: Any, last: int, *, cursor: int = 0) -> Iterator[int]:
            for number in range(cursor + 1, last + 1):
                with connections[alias].cursor() as c:
                    c.execute("INSERT INTO rows (number) VALUES (%s)", [number])
                yield number

        kit(engine, write)


def kit(engine: Engine, task: Any) -> None:
    def outcome() -> list[int]:
        with engine.connect() as connection:
            return list(connection.scalars(select(rows.c.number).order_by(rows.c.number)))

    def reset() -> None:
        with engine.begin() as connection:
            connection.execute(delete(rows))

    assert_resumable(task, (8,), outcome=outcome, reset=reset)


def test_an_atomic_task_may_crash_anywhere(engine: Engine) -> None:
    kit(engine, task_of(engine, commits=True))


def test_the_same_without_atomic_may_not(engine: Engine) -> None:
    with pytest.raises(AssertionError, match="UNIQUE constraint"):
        kit(engine, task_of(engine, commits=False))
