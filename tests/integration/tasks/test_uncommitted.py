"""A checkpoint that would run ahead of the user's own open transaction is an error."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Retry
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from celery_graceful import IterableTask
from celery_graceful.errors import TransactionError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop import CHUNK
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.execution.owned import owned_run
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag

from .conftest import TASK, MakeApp, as_seen_by_a_child, take

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


class Base(DeclarativeBase):
    pass


class Done(Base):
    """A row as an object."""

    __tablename__ = "done"
    item: Mapped[int] = mapped_column(primary_key=True)


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


def test_it_opens_later_and_comes_to_its_end_in_a_look(engine: Engine, run: Any) -> None:
    """The next look, here because of a stop, finds it before anything is saved."""

    def body(*, cursor: int = -1) -> Any:
        for item in range(cursor + 1, 40):
            with engine.begin() as connection:
                write(connection, item)
            yield item
        with engine.begin() as connection:
            for item in range(40, 60):
                write(connection, item)
                if item == 45:
                    stop()
                yield item

    with pytest.raises(TransactionError, match="insert into done"):
        run(body)
    assert items(engine) == list(range(40))


@pytest.mark.parametrize("run", ["carried"], indirect=True)
def test_it_opens_in_a_stretch_that_goes_by_and_the_stop_comes_right_after(
    engine: Engine, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No item is between that stretch and the look, which has to find it all the same."""
    passed = Execution.passed

    def passed_and_stopped(execution: Execution, cursor: Any, done: int) -> None:
        passed(execution, cursor, done)
        stop()

    monkeypatch.setattr(Execution, "passed", passed_and_stopped)

    def body(*, cursor: int = -1) -> Any:
        yield from range(cursor + 1, 400)
        with engine.begin() as connection:
            write(connection, 400)
            yield from range(400, 4 * CHUNK)

    with pytest.raises(TransactionError, match="insert into done"):
        run(body)
    assert items(engine) == []


def stop() -> None:
    """What the ticker does when the flag is raised."""
    execution: Any = current_execution.get()
    execution.fuse.clear()
    run = owned_run(execution.task.request)
    if run is not None:
        run.flag.raise_(StopReason.SHUTDOWN)


def test_objects_that_wait_to_be_flushed(engine: Engine, run: Any) -> None:
    """Nothing has reached the database yet, so no transaction has written anything."""
    with Session(engine, autoflush=False) as session:

        def body(*, cursor: int = 0) -> Any:
            for item in range(1, 4):
                session.add(Done(item=item))
                yield item

        with pytest.raises(TransactionError, match=r"not flushed: 1 new, 0 changed, 0 deleted"):
            run(body)


def test_a_savepoint_within_the_callers_transaction(engine: Engine, run: Any) -> None:
    """As in a test that undoes all it did: what commits for real has to commit here."""

    def body(*, cursor: int = 0) -> Any:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            for item in range(3):
                write(session, item)
                yield item
            session.commit()

    with (
        engine.connect() as connection,
        connection.begin(),
        pytest.raises(TransactionError, match="insert into done"),
    ):
        run(body)


@pytest.mark.parametrize(
    "statement",
    [
        "/* trace */ insert into done values (1)",
        "-- a comment\nINSERT INTO done values (1)",
        "WITH one AS (SELECT 1 AS item) INSERT INTO done SELECT item FROM one",
        "CREATE TABLE more (item INTEGER)",
        "DROP TABLE done",
    ],
)
def test_what_counts_as_written(engine: Engine, run: Any, statement: str) -> None:
    def body(*, cursor: int = 0) -> Any:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
            yield 1

    with pytest.raises(TransactionError):
        run(body)


@pytest.mark.parametrize("style", ["generator", "class"])
def test_an_error_repeats_the_items_that_it_undoes(
    engine: Engine, make_app: MakeApp, style: str
) -> None:
    """Opened after the look at 17 items, to be closed before that at 273: no look sees it."""
    app = make_app("memory://", result_backend="cache+memory://")
    app.tasks.pop(TASK)
    failed: list[int] = []

    def work(item: int, connection: Connection) -> None:
        if item == 25 and not failed:
            failed.append(item)
            raise ValueError(item)
        write(connection, item)

    def single(item: int) -> None:
        with engine.begin() as connection:
            work(item, connection)

    class Retried(IterableTask):
        abstract = True
        autoretry_for = (ValueError,)
        default_retry_delay = 0

    class Work(Retried):
        name = TASK

        def build_enumerator(self, *, cursor: int | None) -> Any:
            begin = 0 if cursor is None else cursor + 1
            for item in range(begin, 20):
                yield (item, None), item
            with engine.begin() as connection:
                for item in range(max(begin, 20), 30):
                    yield (item, connection), item
            for item in range(max(begin, 30), 40):
                yield (item, None), item

        def each_iteration(self, pair: Any) -> None:
            item, connection = pair
            if connection is None:
                single(item)
            else:
                work(item, connection)

    def body(*, cursor: int = -1) -> Any:
        for item in range(cursor + 1, 20):
            single(item)
            yield item
        with engine.begin() as connection:
            for item in range(max(cursor + 1, 20), 30):
                work(item, connection)
                yield item
        for item in range(max(cursor + 1, 30), 40):
            single(item)
            yield item

    if style == "generator":
        app.task(base=Retried, name=TASK, shared=False)(body)
    else:
        app.register_task(Work())
    task = app.tasks[TASK]
    task.apply_async()
    flag.owned("w@host/1")
    try:
        while (message := take(app)) is not None:
            context = as_seen_by_a_child(app, message)
            task.push_request(**{**context.__dict__, "is_eager": False, "called_directly": False})
            try:
                task.run()
            except Retry:
                pass
            finally:
                task.pop_request()
    finally:
        flag.withdraw()
    assert failed == [25]
    assert set(items(engine)) == set(range(40)), "the retry began ahead of the rows"


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
