"""Databases that are away for a while, or are something else altogether."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, put, read
from tests.harness.django_aliases import alias_for
from tests.harness.waiting import wait_for
from tests.integration.stores.outage import Open, at_most, every_call, found
from tests.servers.mariadb import MariaDB
from tests.servers.postgres import Postgres


@pytest.mark.postgres
def test_postgres_restarts(opener: Open) -> None:
    with Postgres() as server:
        store = opener(server.url)
        before = put(store)
        server.restart()
        assert read(store) == before
        server.kill()
        for call in every_call(store):
            with at_most(6), pytest.raises(StoreUnavailable):
                call()
        server.start()
        assert read(store) == before
        store.close()


@pytest.mark.postgres
def test_postgres_cuts_idle_connections(postgres_url: str, opener: Open) -> None:
    store = opener(postgres_url)
    before = put(store)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert read(store) == before


@pytest.mark.postgres
def test_postgres_makes_a_writer_wait_no_longer_than_it_may(
    postgres_url: str, opener: Open
) -> None:
    store, patient = opener(postgres_url, timeout=0.5), opener(postgres_url)
    put(patient)
    wait_for(lambda: found(store), 10, "a connection")
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE graceful_runs")
        with at_most(3), pytest.raises(StoreUnavailable):
            store.swap(RUN, 1, RUNNING)
    wait_for(lambda: found(store), 10, "its next answer")
    assert patient.swap(RUN, 1, RUNNING).done


@pytest.mark.mariadb
@pytest.mark.matrix
def test_mariadb_makes_a_writer_wait_no_longer_than_it_may(
    mariadb_server: MariaDB, mariadb_url: str, opener: Open
) -> None:
    with alias_for(mariadb_url) as alias:
        stores = opener(mariadb_url, timeout=0.5), opener(f"django://{alias}", timeout=0.5)
        before = put(stores[0])
        with closing(mariadb_server._connect()) as other, other.cursor() as cursor:
            cursor.execute(f"USE {mariadb_url.rpartition('/')[2].partition('?')[0]}")
            cursor.execute("LOCK TABLES graceful_runs WRITE")
            for store in stores:
                with at_most(6), pytest.raises(StoreUnavailable):
                    store.swap(RUN, before.version + 1, RUNNING)
            cursor.execute("UNLOCK TABLES")
        for store in stores:
            wait_for(lambda store=store: found(store), 10, "its next answer")  # type: ignore[misc]
            store.close()


@pytest.mark.postgres
@pytest.mark.parametrize("wrong", ["/no_such_database", "user"])
def test_postgres_refuses(postgres_url: str, opener: Open, wrong: str) -> None:
    url = postgres_url
    if wrong == "user":
        url = url.replace("postgres@", "nobody_known@")
    else:
        url = url.rpartition("/")[0] + wrong
    with pytest.raises(StoreError, match="does not exist") as raised:
        opener(url).check()
    assert not isinstance(raised.value, StoreUnavailable)


@pytest.mark.postgres
def test_postgres_without_rights(postgres_url: str, opener: Open) -> None:
    opener(postgres_url).check()
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("DROP ROLE IF EXISTS reader")
        other.execute("CREATE ROLE reader LOGIN")
        other.execute("GRANT SELECT ON graceful_runs TO reader")
    store = opener(postgres_url.replace("postgres@", "reader@"))
    with pytest.raises(StoreError, match="permission denied") as raised:
        store.check()
    assert not isinstance(raised.value, StoreUnavailable)
    store.close()


def test_sqlite_is_locked_by_another(sqlite_url: str, opener: Open) -> None:
    store = opener(sqlite_url, timeout=0.3)
    before = put(store)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with at_most(3), pytest.raises(StoreUnavailable, match="locked"):
            store.swap(RUN, 1, RUNNING)
        assert read(store) == before
        other.rollback()
    assert store.swap(RUN, 1, RUNNING).done


@pytest.mark.parametrize("path", ["no/such/folder/runs.db", ""])
def test_sqlite_cannot_open_its_file(tmp_path: Path, opener: Open, path: str) -> None:
    with pytest.raises(StoreError, match="writable") as raised:
        opener(f"sqlite:///{tmp_path / path}").check()
    assert not isinstance(raised.value, StoreUnavailable)


def test_a_file_that_is_no_database(tmp_path: Path, opener: Open) -> None:
    (tmp_path / "text").write_text("not a database at all\n" * 100)
    with pytest.raises(StoreError, match="not a database") as raised:
        opener(f"sqlite:///{tmp_path / 'text'}").check()
    assert not isinstance(raised.value, StoreUnavailable)


def test_sqlite_may_only_be_read(sqlite_url: str, opener: Open) -> None:
    opener(sqlite_url).check()
    path = sqlite_url.removeprefix("sqlite:///")
    store = opener(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(StoreError, match="writable") as raised:
        store.check()
    assert not isinstance(raised.value, StoreUnavailable)


def test_the_table_was_dropped(sqlite_url: str, opener: Open) -> None:
    store = opener(sqlite_url)
    put(store)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("DROP TABLE graceful_runs")
    with pytest.raises(StoreError, match="no such table") as raised:
        store.load(RUN)
    assert not isinstance(raised.value, StoreUnavailable)
