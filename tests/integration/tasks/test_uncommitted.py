"""A checkpoint that would run ahead of the user's own open transaction is an error."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.orm import Session

from celery_graceful import IterableTask
from celery_graceful.errors import TransactionError
from celery_graceful.stop import flag

from .conftest import MakeApp, as_seen_by_a_child, take

#: The two ways to run a task: within this process, and carried as in a worker.
WAYS = ("eager", "carried")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE done (item INTEGER)"))
    yield engine
    engine.dispose()


@pytest.fixture(params=WAYS)
def run(request: pytest.FixtureRequest, make_app: MakeApp) -> Iterator[Callable[..., Any]]:
    """Runs a generator function as a task, in each way."""
    app = make_app("memory://", result_backend="cache+memory://")

    def run(body: Any) -> Any:
        task = app.task(base=IterableTask, name="proj.own", shared=False)(body)
        if request.param == "eager":
            return app.tasks["proj.own"]()
        app.tasks["proj.own"].apply_async()
        context = as_seen_by_a_child(app, take(app))
        bound = app.tasks["proj.own"]
        bound.push_request(**{**context.__dict__, "is_eager": False, "called_directly": False})
        try:
            return task.run()
        finally:
            bound.pop_request()

    flag.owned("w@host/1")
    yield run
    flag.withdraw()


def write(on: Connection | Session, item: int) -> None:
    on.execute(text("  insert into done values (:item)"), {"item": item})


def items(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT item FROM done")).scalars())


def test_one_transaction_around_all(engine: Engine, run: Any) -> None:
    done = []

    def body(*, cursor: int = 0) -> Any:
        with engine.begin() as connection:
            for item in range(3):
                write(connection, item)
                done.append(item)
                yield item

    with pytest.raises(TransactionError, match=r"proj\.own.*insert into done.*atomic = ") as told:
        run(body)
    assert str(engine.url) in str(told.value)
    assert done == [0], "it is told after the first item"
    assert items(engine) == []


def test_a_session_that_is_never_committed(engine: Engine, run: Any) -> None:
    session = Session(engine)

    def body(*, cursor: int = 0) -> Any:
        for item in range(3):
            write(session, item)
            yield item

    with pytest.raises(TransactionError):
        run(body)
    session.close()


def harmless(engine: Engine) -> dict[str, Callable[[], Any]]:
    def committed() -> Any:
        for item in range(3):
            with engine.begin() as connection:
                write(connection, item)
            yield item

    def rolled_back() -> Any:
        with engine.connect() as connection:
            for item in range(3):
                write(connection, item)
                connection.rollback()
                yield item

    def closed() -> Any:
        for item in range(3):
            session = Session(engine)
            write(session, item)
            session.close()
            yield item

    def read() -> Any:
        with engine.connect() as connection:
            for item in range(3):
                connection.execute(text("SELECT 1")).all()
                yield item

    def autocommit() -> Any:
        by_itself = engine.execution_options(isolation_level="AUTOCOMMIT")
        with by_itself.connect() as connection:
            for item in range(3):
                write(connection, item)
                yield item

    def commits_as_it_goes() -> Any:
        with Session(engine) as session:
            for item in range(3):
                write(session, item)
                session.commit()
                session.execute(text("SELECT 1")).all()
                yield item

    return {made.__name__: made for made in list(locals().values()) if callable(made)}


@pytest.mark.parametrize(
    "name", ["committed", "rolled_back", "closed", "read", "autocommit", "commits_as_it_goes"]
)
def test_nothing_to_complain_of(engine: Engine, run: Any, name: str) -> None:
    steps = harmless(engine)[name]

    def body(*, cursor: int = 0) -> Any:
        yield from steps()

    run(body)
    kept = name in ("committed", "autocommit", "commits_as_it_goes")
    assert items(engine) == ([0, 1, 2] if kept else [])


def test_a_transaction_of_the_caller(engine: Engine, run: Any) -> None:
    """As in tests that undo all they did."""

    def body(*, cursor: int = 0) -> Any:
        for item in range(3):
            with Session(connection, join_transaction_mode="rollback_only") as session:
                write(session, item)
                session.commit()
            yield item

    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text("SELECT 1"))
        run(body)
        transaction.rollback()
    assert items(engine) == []
