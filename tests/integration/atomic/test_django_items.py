"""What items do to Django's transaction: hooks and savepoints, and what is an error."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction

from celery_graceful import IterableTask, sources
from celery_graceful.errors import TransactionError
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag
from tests.harness.waiting import wait_for

from .django_rows import Effect
from .project import MakeProject, Project, new_id, own_task

ALL_FOUR = {0: 1, 1: 1, 2: 1, 3: 1}


@pytest.fixture
def database(django_database: str) -> str:
    return django_database


# -- on_commit -------------------------------------------------------------------------------


def test_hooks_run_once_after_their_commit(project: Project) -> None:
    ran: list[tuple[int, int]] = []

    def each(task: Any, item: int) -> None:
        project.write(task, item)

        def hook() -> None:
            assert not connections[project.alias].in_atomic_block
            ran.append((item, project.effects("item").total()))

        transaction.on_commit(hook, using=project.alias)
        if item == 3 and project.once("failed"):
            raise OSError("once")

    own_task(project, each, atomic=project.atomically(2), autoretry_for=(OSError,), retry_backoff=0)
    run = new_id()
    project.deliver(run, task="proj.own")
    assert ran == [(0, 2), (1, 2)], "the second batch was rolled back"
    project.resume(run, task="proj.own")
    assert [item for item, _ in ran] == [0, 1, 2, 3]
    assert project.effects("item") == ALL_FOUR


def test_hooks_of_an_isolated_item_go_with_it(project: Project) -> None:
    ran: list[int] = []

    def each(task: Any, item: int) -> None:
        transaction.on_commit(lambda: ran.append(item), using=project.alias)
        with project.savepoint(task):
            project.write(task, item)
        if item == 1:
            raise ZeroDivisionError

    own_task(project, each, max_failed_items=1)
    assert project.deliver(new_id(), task="proj.own").info is None
    assert ran == [0, 2, 3]
    assert project.effects("item") == {0: 1, 2: 1, 3: 1}


def test_a_hook_that_raises_undoes_nothing_and_repeats_nothing(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)

        def hook() -> None:
            if item == 1 and project.once("failed"):
                raise OSError("the mail server is away")

        transaction.on_commit(hook, using=project.alias)

    own_task(project, each, atomic=project.atomically(2), autoretry_for=(OSError,), retry_backoff=0)
    run = new_id()
    assert project.deliver(run, task="proj.own").info.state == "RETRY"
    assert project.effects("item") == {0: 1, 1: 1}
    project.resume(run, task="proj.own")
    assert project.effects("item") == ALL_FOUR


def test_tasks_of_the_orm(project: Project) -> None:
    """``bulk_create``, ``select_for_update`` and reading what was just written."""
    using = project.alias

    def each(task: Any, item: int) -> None:
        Effect.objects.using(using).bulk_create([Effect(kind="item", item=item)])
        mine = Effect.objects.using(using).select_for_update().get(kind="item", item=item)
        Effect.objects.using(using).filter(pk=mine.pk).update(item=item)

    own_task(project, each)
    assert project.deliver(new_id(), task="proj.own").info is None
    assert project.effects("item") == ALL_FOUR


# -- errors ----------------------------------------------------------------------------------


def commit(project: Project) -> None:
    transaction.commit(using=project.alias)


def rollback(project: Project) -> None:
    transaction.rollback(using=project.alias)


def set_autocommit(project: Project) -> None:
    transaction.set_autocommit(False, using=project.alias)


def close(project: Project) -> None:
    connections[project.alias].close()


def set_rollback(project: Project) -> None:
    transaction.set_rollback(True, using=project.alias)


def caught_without_a_block(project: Project) -> None:
    number = Effect.objects.using(project.alias).values_list("number").first()
    assert number is not None
    with pytest.raises(IntegrityError):
        Effect(number=number[0], kind="item", item=9).save(using=project.alias, force_insert=True)


def by_a_statement(project: Project) -> None:
    with connections[project.alias].cursor() as cursor:
        cursor.execute(" /* now */ commit")


def durable(project: Project) -> None:
    with transaction.atomic(using=project.alias, durable=True):
        pass


def left_open(project: Project) -> None:
    transaction.atomic(using=project.alias).__enter__()


def beside_django(project: Project) -> None:
    connections[project.alias].connection.rollback()


MISUSES: dict[Callable[[Project], None], str] = {
    commit: "must not call commit()",
    rollback: "must not call commit(), rollback()",
    set_autocommit: "set_autocommit()",
    close: "must not call close()",
    set_rollback: "set_rollback(True)",
    caught_without_a_block: "caught an error of the database",
    by_a_statement: "the statement ' /* now */ commit'",
    durable: "atomic(durable=True) cannot be used",
    left_open: "atomic() block",
    beside_django: "ended before its commit",
}


@pytest.mark.parametrize("isolated", [False, True], ids=["", "isolated"])
@pytest.mark.parametrize("misuse", MISUSES, ids=lambda each: each.__name__)
def test_hands_off(project: Project, misuse: Callable[[Project], None], isolated: bool) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 1:
            misuse(project)

    options = {"max_failed_items": 2} if isolated else {}
    own_task(project, each, autoretry_for=(Exception,), **options)
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, TransactionError), done.info
    assert str(done.info.retval).startswith("proj.own")
    assert MISUSES[misuse] in str(done.info.retval)
    assert project.effects("item") == {}
    assert not connections[project.alias].in_atomic_block


@pytest.mark.parametrize("misuse", [commit, rollback, set_autocommit, durable, by_a_statement])
def test_what_django_has_refused_may_be_caught(
    project: Project, misuse: Callable[[Project], None]
) -> None:
    def each(task: Any, item: int) -> None:
        with pytest.raises((DatabaseError, RuntimeError, TransactionError)):
            misuse(project)
        project.write(task, item)

    own_task(project, each)
    assert project.deliver(new_id(), task="proj.own").info is None
    assert project.effects("item") == ALL_FOUR


def test_another_database_is_not_blamed(make_project: MakeProject) -> None:
    project, other = make_project(), make_project()

    def each(task: Any, item: int) -> None:
        project.write(task, item)
        with transaction.atomic(using=other.alias):
            transaction.commit(using=other.alias)

    own_task(project, each)
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, transaction.TransactionManagementError)


# -- a yield within a block ------------------------------------------------------------------


@pytest.mark.parametrize("which", ["the same", "another"])
def test_a_yield_within_a_block(make_project: MakeProject, which: str) -> None:
    project = make_project()
    alias = project.alias if which == "the same" else make_project().alias

    @project.app.task(
        base=IterableTask,
        name="proj.pages",
        bind=True,
        shared=False,
        atomic=project.atomic,
    )
    def pages(self: Any, *, cursor: int = -1) -> Any:
        for item in range(cursor + 1, 6):
            with transaction.atomic(using=alias):
                project.write(self, item)
                yield item

    done = project.deliver(new_id(), task="proj.pages")
    assert isinstance(done.info.retval, TransactionError)
    assert f"atomic() block on the Django database {alias!r}" in str(done.info.retval)
    assert project.effects("item") == {}
    assert not connections[alias].in_atomic_block


# -- kinds of databases ----------------------------------------------------------------------


def foreign_keys(project: Project) -> None:
    with project.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS parts")
        connection.exec_driver_sql(
            "CREATE TABLE parts (item integer PRIMARY KEY, of integer NOT NULL "
            "REFERENCES parts (item) DEFERRABLE INITIALLY DEFERRED)"
        )


def test_a_foreign_key_to_nothing_is_its_items_error(project: Project) -> None:
    """Django's are checked at the commit, which would be all items' error."""
    if project.engine.dialect.name != "postgresql":
        pytest.skip("MySQL checks at once; SQLite cannot check within a transaction")
    foreign_keys(project)

    def each(task: Any, item: int) -> None:
        project.execute(task, f"INSERT INTO parts VALUES ({item}, {7 if item == 2 else item})")
        project.write(task, item)

    own_task(project, each, max_failed_items=1)
    assert project.deliver(new_id(), task="proj.own").info is None
    assert project.effects("item") == {0: 1, 1: 1, 3: 1}


@pytest.mark.parametrize("every", [1, 3, 100])
def test_rows_of_a_source_on_the_same_connection(make_project: MakeProject, every: int) -> None:
    """It reads its pages within the batches' transactions."""
    project = make_project(every=every)
    rows = Effect.objects.using(project.alias).filter(kind="row")
    Effect.objects.using(project.alias).bulk_create(Effect(kind="row", item=n) for n in range(40))

    class Copy(IterableTask):
        name = "proj.copy"
        atomic = project.atomic
        checkpoint_interval = "1ms"

        def build_enumerator(self, *, cursor: Any) -> Any:
            return sources.queryset(rows, cursor=cursor, batch=2)

        def each_iteration(self, row: Any) -> None:
            project.write(self, row.item)
            if row.item == 4 and project.once("stopped"):
                stop = flag.current()
                assert stop is not None
                stop.raise_(StopReason.SHUTDOWN)
                stop.release()
                # The other rows take less time than the ticker may need on a busy machine.
                execution: Any = current_execution.get()
                wait_for(lambda: not execution.fuse, 10)

    project.app.register_task(Copy())
    run = new_id()
    project.deliver(run, task="proj.copy")
    assert 5 <= project.effects("item").total() < 40
    project.resume(run, task="proj.copy")
    assert project.effects("item") == dict.fromkeys(range(40), 1)


def test_rows_streamed_by_the_server(project: Project) -> None:
    if project.engine.dialect.name != "postgresql":
        pytest.skip("nobody else's driver has cursors at the server")
    Effect.objects.using(project.alias).bulk_create(Effect(kind="row") for _ in range(9))

    @project.app.task(
        base=IterableTask,
        name="proj.streamed",
        shared=False,
        atomic=project.atomic,
    )
    def streamed(*, cursor: int = 0) -> Any:
        rows = Effect.objects.using(project.alias).filter(kind="row", pk__gt=cursor).order_by("pk")
        for row in rows.iterator(chunk_size=4):
            yield row.pk

    done = project.deliver(new_id(), task="proj.streamed")
    assert isinstance(done.info.retval, TransactionError)
    assert "server-side cursor" in str(done.info.retval)


MYSQL_ONLY = {
    "CREATE TABLE more (id integer)": "commits implicitly",
    "TRUNCATE TABLE effects": "commits implicitly",
    "SET autocommit = 1": "commits implicitly",
    "INSERT INTO plain VALUES (1)": "ALTER TABLE plain ENGINE=InnoDB",
    "UPDATE `plain` SET id = 1": "has the engine MyISAM",
}


@pytest.mark.parametrize("statement", MYSQL_ONLY)
def test_what_mysql_cannot_undo(project: Project, statement: str) -> None:
    if project.engine.dialect.name != "mysql":
        pytest.skip("others can")
    with project.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS plain (id integer) ENGINE=MyISAM")

    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 2:
            project.execute(task, statement)

    own_task(project, each)
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, TransactionError)
    assert MYSQL_ONLY[statement] in str(done.info.retval)
    assert project.effects("item") == {}


@pytest.mark.parametrize("isolated", [False, True], ids=["", "isolated"])
def test_a_deadlock_that_was_caught(project: Project, isolated: bool) -> None:
    """InnoDB undoes the whole transaction; to go on would lose the items before."""
    if project.engine.dialect.name != "mysql":
        pytest.skip("a savepoint brings PostgreSQL back; SQLite has one writer")
    with project.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS two")
        connection.exec_driver_sql("CREATE TABLE two (id integer PRIMARY KEY, n integer)")
        connection.exec_driver_sql("INSERT INTO two VALUES (1, 0), (2, 0)")

    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item != 2 or not project.once("deadlock"):
            return
        project.execute(task, "UPDATE two SET n = n + 1 WHERE id = 1")
        with project.engine.connect() as other:
            other.exec_driver_sql("UPDATE two SET n = n + 2 WHERE id = 2")
            waits = blocked_by_row_one(other)
            with pytest.raises(DatabaseError), project.savepoint(task):
                project.execute(task, "UPDATE two SET n = n + 3 WHERE id = 2")
            waits.join(20)

    options = {"max_failed_items": 2} if isolated else {}
    own_task(project, each, autoretry_for=(DatabaseError,), retry_backoff=0, **options)
    run = new_id()
    done = project.deliver(run, task="proj.own")
    assert done.info is not None, "it is reported"
    assert project.effects("item") == {}


def blocked_by_row_one(connection: Any) -> Any:
    """A thread that waits for the row that the item has locked, with more to lose than it."""
    import threading

    more = "INSERT INTO effects (kind, item) VALUES " + ", ".join(["('other', 0)"] * 200)
    connection.exec_driver_sql(more)
    thread = threading.Thread(
        target=lambda: connection.exec_driver_sql("UPDATE two SET n = n + 4 WHERE id = 1")
    )
    thread.start()
    return thread
