"""Django's connections: what is around a run, what is lost within one, and the table."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-call"
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections, transaction
from sqlalchemy import inspect, text

from celery_graceful import Atomic, signals
from celery_graceful.errors import DefinitionError, TransactionError
from celery_graceful.stop import flag
from tests.harness.worker import ROOT

from .django_rows import Effect
from .project import (
    MakeProject,
    Project,
    check_exact,
    commits_of,
    interrupted_run,
    new_id,
    own_task,
)
from .tasks import TASK

ALL_FOUR = {0: 1, 1: 1, 2: 1, 3: 1}


@pytest.fixture
def database(django_database: str) -> str:
    return django_database


# -- around a run ----------------------------------------------------------------------------


def test_a_block_around_a_workers_run_is_an_error(project: Project) -> None:
    with transaction.atomic(using=project.alias):
        done = project.deliver(new_id(), 8)
    assert isinstance(done.info.retval, TransactionError)
    assert "has an open atomic() block already" in str(done.info.retval)
    assert project.effects("item") == {}


def test_a_test_case_may_enclose_a_direct_call(make_project: MakeProject) -> None:
    """Its block is rolled back in the end; hooks wait for it, as they do for all within it."""
    project = make_project(every=3)
    flag.withdraw()
    ran: list[int] = []

    def each(task: Any, item: int) -> None:
        transaction.on_commit(lambda: ran.append(item), using=project.alias)
        with pytest.raises(RuntimeError, match="durable"):
            transaction.atomic(using=project.alias, durable=True).__enter__()
        project.write(task, item)

    task = own_task(project, each)
    commits = commits_of(project)
    outer = transaction.atomic(using=project.alias)
    outer.__enter__()
    task()
    assert Effect.objects.using(project.alias).filter(kind="item").count() == 4
    assert ran == []
    assert len(connections[project.alias].run_on_commit) == 4
    transaction.set_rollback(True, using=project.alias)
    outer.__exit__(None, None, None)
    assert commits == [0, 0], "nobody else sees any of it"
    assert project.effects("item") == {}


@pytest.mark.parametrize("outer", [False, True])
def test_an_eager_retry(make_project: MakeProject, outer: bool) -> None:
    project = make_project(task_always_eager=True)
    if not outer:
        project.app.tasks[TASK].delay(8, "fails once")
    else:
        with transaction.atomic(using=project.alias):
            project.app.tasks[TASK].delay(8, "fails once")
    check_exact(project)


def test_without_autocommit(make_project: MakeProject) -> None:
    project = make_project()
    connections.settings[project.alias]["AUTOCOMMIT"] = False
    done = project.deliver(new_id(), 8)
    connections[project.alias].close()
    assert isinstance(done.info.retval, TransactionError)
    assert "Remove AUTOCOMMIT = False" in str(done.info.retval)


def test_an_alias_that_is_not_there(project: Project) -> None:
    own_task(project, lambda task, item: None, atomic=Atomic.django(using="tset_1"))
    task = project.app.tasks["proj.own"]
    assert "names no database of settings.DATABASES" in task.faults[0]
    type(task).faults = ()  # as where settings were not known when it was defined
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, DefinitionError)
    assert "Did you mean 'test_" in str(done.info.retval)


def test_receivers_of_signals_write_for_themselves(project: Project) -> None:
    """What they write is not rolled back with a batch that never comes."""

    def note(sender: Any, **details: Any) -> None:
        assert not connections[project.alias].in_atomic_block
        Effect.objects.using(project.alias).create(kind="noted", item=0)

    watched = (signals.run_started, signals.checkpoint_saved, signals.run_interrupted)
    for signal in watched:
        signal.connect(note)
    try:
        run = interrupted_run(project)
    finally:
        for signal in watched:
            signal.disconnect(note)
    assert project.effects("noted").total() >= 3
    project.resume(run, 8, "stops once")
    check_exact(project)


# -- lost connections ------------------------------------------------------------------------


def cut(project: Project) -> None:
    """End the connections to the project's database at the server."""
    with project.engine.connect() as other:
        if other.dialect.name == "postgresql":
            other.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                    "datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        else:
            mine = other.execute(text("SELECT CONNECTION_ID()")).scalar_one()
            listed = text("SELECT id FROM information_schema.processlist WHERE db = DATABASE()")
            for number in other.execute(listed).scalars().all():
                if number != mine:
                    other.execute(text(f"KILL {number}"))
    project.engine.dispose()


@pytest.mark.parametrize("isolated", [False, True], ids=["", "isolated"])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored"])
def test_a_connection_that_is_lost(project: Project, isolated: bool, ignored: bool) -> None:
    if project.engine.dialect.name == "sqlite":
        pytest.skip("it has none to lose")

    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 2 and project.once("cut"):
            cut(project)
            try:
                project.write(task, item)
            except (OperationalError, InterfaceError):
                if not ignored:
                    raise

    options: dict[str, Any] = {"max_failed_items": 2} if isolated else {}
    errors = (OperationalError, InterfaceError)
    own_task(project, each, autoretry_for=errors, retry_backoff=0, **options)
    run = new_id()
    assert project.deliver(run, task="proj.own").info.state == "RETRY"
    assert project.effects("item") == {}
    project.resume(run, task="proj.own")
    assert project.effects("item") == ALL_FOUR


def test_a_connection_that_was_cut_between_two_runs(project: Project) -> None:
    if project.engine.dialect.name == "sqlite":
        pytest.skip("it has none to lose")
    connections.settings[project.alias]["CONN_MAX_AGE"] = None
    project.deliver(new_id(), 8)
    cut(project)
    project.deliver(new_id(), 8)
    assert project.effects("item") == dict.fromkeys(range(8), 2)


# -- the table -------------------------------------------------------------------------------


def test_the_table_is_that_of_sqlalchemy(project: Project) -> None:
    """So that a run may begin with one of them and continue with the other."""
    from celery_graceful.atomic.alchemy_table import metadata

    made = {}
    interrupted_run(project)
    for how in ("django", "sqlalchemy"):
        if how == "sqlalchemy":
            metadata.drop_all(project.engine)
            metadata.create_all(project.engine)
        found = inspect(project.engine)
        columns = found.get_columns("graceful_checkpoints")
        made[how] = (
            [(c["name"], str(c["type"]), c["nullable"]) for c in columns],
            found.get_pk_constraint("graceful_checkpoints")["constrained_columns"],
        )
    assert made["django"] == made["sqlalchemy"]


def test_a_task_that_moves_from_sqlalchemy_to_django(project: Project) -> None:
    if project.engine.dialect.name == "mysql":
        pytest.skip("the other has not been tried there")
    before = Project(project.url, f"memory://{new_id()}", project.folder)
    run = interrupted_run(before)
    project.runtime.__dict__["store"] = before.runtime.store
    project.resume(run, 8, "stops once")
    check_exact(project)
    before.close()


@pytest.mark.parametrize("exists", [False, True], ids=["", "that a run has made"])
def test_the_migration(project: Project, exists: bool) -> None:
    from celery_graceful.contrib.django.create_checkpoints import CreateCheckpoints

    run = interrupted_run(project) if exists else ""
    connection, operation = connections[project.alias], CreateCheckpoints()
    with connection.schema_editor() as editor:
        operation.database_forwards("celery_graceful", editor, None, None)
    assert len(project.rows()) == int(exists)
    run = run or interrupted_run(project)
    project.resume(run, 8, "stops once")
    check_exact(project)
    with connection.schema_editor() as editor:
        operation.database_backwards("celery_graceful", editor, None, None)
    assert not inspect(project.engine).has_table("graceful_checkpoints")


@pytest.mark.postgres
@pytest.mark.parametrize("django_database", ["django+postgres"], indirect=True)
def test_a_user_who_may_make_no_table(project: Project) -> None:
    with project.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS graceful_checkpoints"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN"))
    try:
        connections.settings[project.alias]["USER"] = "reader"
        done = project.deliver(new_id(), 8)
    finally:
        connections[project.alias].close()
        with project.engine.begin() as connection:
            connection.execute(text("DROP ROLE reader"))
    assert isinstance(done.info.retval, TransactionError)
    assert "manage.py migrate celery_graceful" in str(done.info.retval)
    assert f"--database {project.alias}" in str(done.info.retval)


# -- psycopg2 --------------------------------------------------------------------------------


@pytest.mark.matrix
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("django_database", ["django+postgres"], indirect=True)
def test_the_same_with_psycopg2(database: str, tmp_path: Path) -> None:
    """Django takes psycopg where both are installed, once for a process."""
    if os.environ.get("GRACEFUL_PSYCOPG2"):
        pytest.skip("this is it")
    chosen = ["-k", "django+postgres", "-m", "not slow", f"--basetemp={tmp_path}/tests"]
    done = subprocess.run(
        [*(sys.executable, "-m", "pytest", "-q", "-x", "tests/integration/atomic"), *chosen],
        cwd=ROOT,
        env={**os.environ, "GRACEFUL_PSYCOPG2": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


def test_the_driver(project: Project) -> None:
    if project.engine.dialect.name != "postgresql":
        pytest.skip("there is one only")
    module = type(connections[project.alias]).__module__
    assert module == "django.db.backends.postgresql.base"
    connections[project.alias].ensure_connection()
    driver = type(connections[project.alias].connection).__module__.partition(".")[0]
    assert driver == ("psycopg2" if os.environ.get("GRACEFUL_PSYCOPG2") else "psycopg")
