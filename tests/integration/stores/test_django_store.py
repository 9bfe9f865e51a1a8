"""``django://alias``: the SQL store on connections that Django makes, with tables of migrations."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect

from celery_graceful.atomic.alchemy_table import metadata as checkpoints
from celery_graceful.errors import SettingsError, StoreError, StoreUnavailable
from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.base import Store
from celery_graceful.stores.sql.engine import make_tables
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, put, read
from tests.harness.django_aliases import PSYCOPG2, alias_for, migrate
from tests.integration.stores.outage import at_most, every_call
from tests.servers.mariadb import MariaDB
from tests.servers.postgres import Postgres

Open = Callable[..., Store]
#: Makes URLs of empty databases.
Fresh = Callable[[], str]

SERVERS = [
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    kind: str = request.param
    numbers = itertools.count()
    with ExitStack() as stack:

        def make() -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path}/{next(numbers)}"
            server: Postgres | MariaDB = request.getfixturevalue(f"{kind}_server")
            return stack.enter_context(server.database())

        yield make


@contextmanager
def engine(url: str) -> Iterator[Engine]:
    made = create_engine(url)
    try:
        yield made
    finally:
        made.dispose()


def shape(url: str) -> dict[str, Any]:
    """What the tables of a database are like."""
    found: dict[str, Any] = {}
    with engine(url) as made:
        seen = inspect(made)
        for table in seen.get_table_names():
            columns = [(c["name"], repr(c["type"]), c["nullable"]) for c in seen.get_columns(table)]
            indexes = [
                (i["name"], i["column_names"], [*map(str, i.get("dialect_options", {}).values())])
                for i in seen.get_indexes(table)
            ]
            key = seen.get_pk_constraint(table)["constrained_columns"]
            found[table] = columns, key, sorted(indexes, key=str)
    return found


@pytest.mark.parametrize("fresh", ["sqlite", *SERVERS], indirect=True)
def test_migrations_make_the_tables_of_the_sql_store(fresh: Fresh, opener: Open) -> None:
    by_store, by_migration = fresh(), fresh()
    with engine(by_store) as made:
        make_tables(made)
        checkpoints.create_all(made)
    with alias_for(by_migration) as alias:
        store = opener(f"django://{alias}")
        with pytest.raises(StoreError, match=f"manage.py migrate .* --database {alias}") as caught:
            store.check()
        assert not isinstance(caught.value, StoreUnavailable)
        migrate(alias)
        migrate(alias)  # of tables that are there already
        for call in every_call(store):
            call()
        assert put(store, run=RunKey("other", "one")).version == 1
        store.close()
    assert shape(by_migration) == shape(by_store)


@pytest.mark.parametrize("fresh", SERVERS, indirect=True)
def test_transactions_of_the_project_and_the_store_are_apart(fresh: Fresh, opener: Open) -> None:
    with alias_for(fresh()) as alias:
        from django.db import connections, transaction

        migrate(alias)
        store = opener(f"django://{alias}")
        with connections[alias].cursor() as cursor:
            cursor.execute("CREATE TABLE work (id int)")
        with transaction.atomic(using=alias):
            connections[alias].cursor().execute("INSERT INTO work VALUES (1)")
            put(store)
            assert store.checkpoint(RUN, 1, '"here"', 5, due_in=60).accepted
            transaction.set_rollback(True, using=alias)
        assert read(store).checkpoint == '"here"'
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM work")
            assert cursor.fetchone() == (0,)
        store.close()


@pytest.mark.postgres
def test_connections_are_made_as_django_is_configured(postgres_url: str, opener: Open) -> None:
    more = {"OPTIONS": {"application_name": "the shop", "assume_role": "postgres"}}
    with alias_for(postgres_url, CONN_MAX_AGE=600, **more) as alias:
        from django.db.backends.signals import connection_created

        seen = []

        def receive(connection: Any, **_: Any) -> None:
            seen.append(connection.alias)

        connection_created.connect(receive)
        migrate(alias)
        seen.clear()
        store = opener(f"django://{alias}", timeout=0.5)
        put(store)
        connection_created.disconnect(receive)
        assert seen == [alias]
        with engine(postgres_url) as made, made.connect() as other:
            found = other.exec_driver_sql(
                "SELECT application_name FROM pg_stat_activity WHERE application_name = 'the shop'"
            ).all()
            assert len(found) == 1
            other.exec_driver_sql("LOCK TABLE graceful_runs")
            with at_most(5), pytest.raises(StoreUnavailable):
                store.swap(RUN, 1, RUNNING)
            other.rollback()
            other.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'the shop'"
            )
        assert store.swap(RUN, 1, RUNNING).done
        store.close()


@pytest.mark.postgres
def test_nothing_is_set_for_the_session_behind_a_pool(postgres_url: str, opener: Open) -> None:
    with alias_for(postgres_url, DISABLE_SERVER_SIDE_CURSORS=True) as alias:
        store: Any = opener(f"django://{alias}")
        with store._connected("a test") as connection:
            shown = connection.exec_driver_sql("SHOW statement_timeout").scalar_one()
            assert shown == "0"
            assert connection.connection.driver_connection.prepare_threshold is None
        store.close()


@pytest.mark.mariadb
def test_a_wrong_password_is_not_shown(mariadb_url: str, opener: Open) -> None:
    with alias_for(mariadb_url, USER="nobody", PASSWORD="hidden") as alias:
        with pytest.raises(StoreError, match="Access denied") as caught:
            opener(f"django://{alias}").check()
        assert "hidden" not in str(caught.value)
        assert not isinstance(caught.value, StoreUnavailable)


def test_an_alias_that_there_is_not(tmp_path: Path, opener: Open) -> None:
    with (
        alias_for(f"sqlite:///{tmp_path}/db") as alias,
        pytest.raises(SettingsError, match=f"DATABASES has .*{alias}"),
    ):
        opener("django://replica")


def test_a_database_in_memory(opener: Open) -> None:
    with (
        alias_for("sqlite://", NAME=":memory:") as alias,
        pytest.raises(StoreError, match="graceful_store = 'memory://' in the settings of"),
    ):
        opener(f"django://{alias}").check()


def test_a_database_that_no_store_is_tested_in(opener: Open) -> None:
    with (
        alias_for("sqlite://", ENGINE="django.db.backends.dummy") as alias,
        pytest.raises(SettingsError, match="PostgreSQL, MySQL, MariaDB or SQLite"),
    ):
        opener(f"django://{alias}")


def test_options_that_sqlalchemy_does_not_know(tmp_path: Path, opener: Open) -> None:
    with (
        alias_for(f"sqlite:///{tmp_path}/db") as alias,
        pytest.raises(SettingsError, match="graceful_store_options"),
    ):
        opener(f"django://{alias}", options={"colour": "blue"})


@pytest.mark.postgres
@pytest.mark.matrix
def test_the_contract_by_psycopg2() -> None:
    suite = str(Path(__file__).with_name("test_contract.py"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--all", suite, "-k", "django_postgres"],
        cwd=Path(__file__).parents[3],
        env={**os.environ, PSYCOPG2: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
