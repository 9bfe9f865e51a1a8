"""Connections of plain drivers, wherever a task's code holds them."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from celery_graceful import IterableTask
from celery_graceful.errors import TransactionError

from .conftest import TASK, MakeApp

Connect = Callable[[], Any]
#: Held by a global name of this module.
of_module: Any = None
#: What was connected: in a list, where nobody looks.
connected: list[Any] = []


@pytest.fixture(params=["sqlite3"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Connects to a database with the table ``done``."""
    if request.param == "sqlite3":
        open_one: Connect = lambda: sqlite3.connect(tmp_path / "shop.db")  # noqa: E731
    else:
        dsn = request.getfixturevalue("postgres_url").replace("+psycopg", "")
        open_one = lambda: psycopg.connect(dsn)  # noqa: E731

    def connect() -> Any:
        connected.append(open_one())
        return connected[-1]

    first = connect()
    first.execute("CREATE TABLE done (item INTEGER)")
    first.commit()
    yield connect
    for connection in connected:
        connection.close()
    connected.clear()


@pytest.fixture
def run(make_app: MakeApp) -> Callable[[Any], Any]:
    """Runs a generator function, or a task class, as a task."""

    def run(what: Any) -> Any:
        app = make_app("memory://")
        app.tasks.pop(TASK)
        if isinstance(what, type):
            app.register_task(what())
        else:
            app.task(base=IterableTask, name=TASK, shared=False)(what)
        return app.tasks[TASK]()

    return run


def write(connection: Any, item: int) -> None:
    connection.execute(f"INSERT INTO done VALUES ({item})")


def rows(connect: Connect) -> int:
    count: int = connect().execute("SELECT count(*) FROM done").fetchone()[0]
    return count


# -- open at the yield -----------------------------------------------------------------------


def held_by_a_local_name(connect: Connect) -> Any:
    def body(*, cursor: int = 0) -> Any:
        connection = connect()
        for item in range(3):
            write(connection, item)
            yield item

    return body


def held_by_a_block(connect: Connect) -> Any:
    def body(*, cursor: int = 0) -> Any:
        with connect():
            for item in range(3):
                connected[-1].execute(f"INSERT INTO done VALUES ({item})")
                yield item

    return body


def held_by_a_cursor(connect: Connect) -> Any:
    def body(*, cursor: int = 0) -> Any:
        handle = connect().cursor()
        for item in range(3):
            write(handle, item)
            yield item

    return body


def held_by_a_function_that_it_loops_over(connect: Connect) -> Any:
    def inner() -> Any:
        connection = connect()
        for item in range(3):
            write(connection, item)
            yield item

    def body(*, cursor: int = 0) -> Any:
        for item in inner():
            yield item + 1

    return body


def held_by_a_delegate(connect: Connect) -> Any:
    inner = held_by_a_local_name(connect)

    def body(*, cursor: int = 0) -> Any:
        yield from inner()

    return body


def held_by_a_context_manager(connect: Connect) -> Any:
    """As by a pool."""
    kept: list[Any] = []

    @contextmanager
    def borrowed() -> Iterator[Callable[[int], None]]:
        connection = connect()
        yield lambda item: write(connection, item)
        kept.append(connection)

    def body(*, cursor: int = 0) -> Any:
        with borrowed() as done:
            for item in range(3):
                done(item)
                yield item

    return body


def held_by_a_closure(connect: Connect) -> Any:
    connection = connect()

    def body(*, cursor: int = 0) -> Any:
        for item in range(3):
            write(connection, item)
            yield item

    return body


def held_by_the_module(connect: Connect) -> Any:
    global of_module
    of_module = connect()

    def body(*, cursor: int = 0) -> Any:
        for item in range(3):
            write(of_module, item)
            yield item

    return body


def held_by_the_task(connect: Connect) -> Any:
    class Work(IterableTask):
        name = TASK

        def build_enumerator(self, *, cursor: Any) -> Any:
            self.connection = connect()
            return ((item, item) for item in range(3))

        def each_iteration(self, item: int) -> None:
            write(self.connection, item)

    return Work


def held_by_the_enumerator(connect: Connect) -> Any:
    class Work(IterableTask):
        name = TASK

        def build_enumerator(self, *, cursor: Any) -> Any:
            connection = connect()
            for item in range(3):
                yield (item, connection), item

        def each_iteration(self, pair: Any) -> None:
            write(pair[1], pair[0])

    return Work


HELD = [
    held_by_a_local_name,
    held_by_a_block,
    held_by_a_cursor,
    held_by_a_function_that_it_loops_over,
    held_by_a_delegate,
    held_by_a_context_manager,
    held_by_a_closure,
    held_by_the_module,
    held_by_the_task,
    held_by_the_enumerator,
]


ON_BOTH = pytest.mark.parametrize(
    "connect", ["sqlite3", pytest.param("psycopg", marks=pytest.mark.postgres)], indirect=True
)


@pytest.mark.parametrize("case", HELD, ids=lambda case: case.__name__)
def test_a_transaction_that_is_open_at_the_yield(connect: Connect, run: Any, case: Any) -> None:
    with pytest.raises(TransactionError, match=r"proj\.work.*cursor .*Connection \(.*atomic = "):
        run(case(connect))
    assert rows(connect) == 0


@ON_BOTH
@pytest.mark.parametrize(
    "case", [held_by_a_block, held_by_a_cursor], ids=lambda case: case.__name__
)
def test_on_a_server_too(connect: Connect, run: Any, case: Any) -> None:
    with pytest.raises(TransactionError):
        run(case(connect))


# -- nothing to complain of ------------------------------------------------------------------


def committed(connect: Connect) -> Any:
    def body(*, cursor: int = 0) -> Any:
        connection = connect()
        for item in range(3):
            write(connection, item)
            connection.commit()
            yield item

    return body


def only_read(connect: Connect) -> Any:
    """Every query of psycopg begins a transaction, and its server-side cursors need one."""
    first = connect()
    write(first, 1)
    first.commit()

    def body(*, cursor: int = 0) -> Any:
        connection = connect()
        for (item,) in connection.execute("SELECT item FROM done"):
            yield item

    return body


def of_the_caller(connect: Connect) -> Any:
    connection = connect()
    write(connection, 1)

    def body(*, cursor: int = 0) -> Any:
        for item in range(3):
            write(connection, item)
            yield item

    return body


def closed(connect: Connect) -> Any:
    def body(*, cursor: int = 0) -> Any:
        connection = connect()
        write(connection, 1)
        connection.close()
        yield 1

    return body


@ON_BOTH
@pytest.mark.parametrize(
    "case", [committed, only_read, of_the_caller, closed], ids=lambda case: case.__name__
)
def test_nothing_to_complain_of(connect: Connect, run: Any, case: Any) -> None:
    run(case(connect))


def test_what_it_drops_is_not_held_on_to(connect: Connect, run: Any) -> None:
    """A connection that its code has dropped goes, as without the plugin."""
    gone: list[str] = []

    class Dropped(sqlite3.Connection):
        def __del__(self) -> None:
            gone.append("gone")

    def body(*, cursor: int = 0) -> Any:
        connection: Any = sqlite3.connect(":memory:", factory=Dropped)
        yield 1
        connection.close()
        connection = None
        assert gone == ["gone"]
        yield 2

    run(body)


def test_lazy_objects_are_not_woken(run: Any) -> None:
    class Lazy:
        @property
        def __class__(self) -> Any:
            raise AssertionError("woken")

        @__class__.setter
        def __class__(self, value: Any) -> None:
            raise AssertionError("woken")

    lazy, holder = Lazy(), SimpleNamespace()

    def body(*, cursor: int = 0) -> Any:
        kept = lazy
        holder.kept = kept
        yield 1

    run(body)
    assert holder.kept is lazy
