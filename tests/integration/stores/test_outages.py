"""Stores that are away for a while, or are something else altogether."""

from __future__ import annotations

import socket
import socketserver
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model.record import Record, State
from celery_graceful.stores.base import Store
from tests.harness.waiting import wait_for
from tests.integration.stores.samples import OWNER, RUN, RUNNING, put, read
from tests.servers.postgres import Postgres
from tests.servers.process import free_port
from tests.servers.valkey import Valkey

Open = Callable[..., Store]


def every_call(store: Store) -> list[Callable[[], object]]:
    return [
        store.check,
        lambda: store.load(RUN),
        lambda: store.swap(RUN, 0, RUNNING),
        lambda: store.checkpoint(RUN, 1, "c", 1, due_in=9),
        lambda: store.beat(OWNER, [RUN], due_in=9),
        lambda: store.due(1),
        lambda: store.runs(1),
    ]


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def back_again(store: Store) -> bool:
    try:
        store.check()
    except StoreUnavailable:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "redis://:topsecret@127.0.0.1:{port}/0",
        "sentinel://:topsecret@127.0.0.1:{port};sentinel://127.0.0.1:{port}/0?master_name=m",
        "unix:///nowhere/{port}.sock",
        "postgresql+psycopg://me:topsecret@127.0.0.1:{port}/db",
    ],
)
def test_nobody_listens(opener: Open, url: str) -> None:
    store = opener(url.format(port=free_port()), timeout=1)
    for call in every_call(store):
        with at_most(1.5), pytest.raises(StoreUnavailable) as raised:
            call()
        assert "topsecret" not in str(raised.value)
        assert "127.0.0.1" in str(raised.value) or "nowhere" in str(raised.value)
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{port}/0",
        "sentinel://127.0.0.1:{port}?master_name=m",
        "postgresql+psycopg://me@127.0.0.1:{port}/db",
    ],
)
def test_somebody_listens_and_says_nothing(opener: Open, url: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        store = opener(url.format(port=silent.getsockname()[1]), timeout=1)
        with at_most(3), pytest.raises(StoreUnavailable):
            store.load(RUN)


class _Web(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(100)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_a_web_server_is_no_redis(opener: Open) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Web) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        store = opener(f"redis://127.0.0.1:{server.server_address[1]}/0", timeout=1)
        with pytest.raises(StoreError, match="does not speak Redis") as raised:
            store.check()
        assert not isinstance(raised.value, StoreUnavailable)
        store.close()
        server.shutdown()
        thread.join(10)


def test_redis_falls_silent_and_comes_back(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url, timeout=0.5)
    before = put(store)
    own_valkey.freeze()
    try:
        with at_most(2), pytest.raises(StoreUnavailable, match=str(own_valkey.port)):
            store.load(RUN)
    finally:
        own_valkey.thaw()
    wait_for(lambda: back_again(store), 10, "Redis to answer again")
    assert read(store) == before


def test_redis_restarts(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url)
    put(store)
    own_valkey.kill()
    for call in every_call(store):
        with at_most(2), pytest.raises(StoreUnavailable):
            call()
    own_valkey.start()
    # All scripts are unknown to the new server.
    store.beat(OWNER, [RUN], due_in=9)
    assert not store.checkpoint(RUN, 1, "c", 1, due_in=9).accepted
    assert store.due(1) == store.runs(1) == []
    assert store.load(RUN).record is None
    put(store)


def test_redis_cuts_idle_connections(redis_url: str, opener: Open, valkey_server: Valkey) -> None:
    store = opener(redis_url)
    before = put(store)
    with valkey_server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert read(store) == before


def test_redis_is_a_replica_now(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url)
    put(store)
    with own_valkey.client() as client:
        client.config_set("replica-serve-stale-data", "yes")
        client.replicaof("127.0.0.1", free_port())
        with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
            store.swap(RUN, 1, RUNNING)
        client.replicaof("NO", "ONE")
    assert store.swap(RUN, 1, RUNNING).done


def test_redis_is_busy_with_a_script(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url)
    put(store)
    with own_valkey.client() as client:
        client.config_set("busy-reply-threshold", 10)
        busy = threading.Thread(target=_loop_forever, args=(own_valkey,))
        busy.start()
        wait_for(lambda: not _answers(store), 10, "the script to begin")
        client.script_kill()
        busy.join(10)
    wait_for(lambda: _answers(store), 10, "the script to end")


def _loop_forever(server: Valkey) -> None:
    import redis

    with server.client() as client, pytest.raises(redis.ResponseError):
        client.eval("while true do end", 0)


def _answers(store: Store) -> bool:
    try:
        store.load(RUN)
    except StoreUnavailable as exc:
        return "BUSY" not in str(exc)
    return True


def test_redis_has_no_memory_left(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url)
    before = put(store)
    with own_valkey.client() as client:
        client.config_set("maxmemory", "100kb")
        with pytest.raises(StoreError, match="no memory left") as raised:
            store.swap(RUN, 1, RUNNING, due_in=9)
        assert not isinstance(raised.value, StoreUnavailable)
        assert read(store) == before
        # A run may still end, which gives memory back.
        assert store.swap(RUN, 1, Record(State.ENDED), keep=60).done
        client.config_set("maxmemory", "0")


def test_redis_wants_another_password(own_valkey: Valkey, opener: Open) -> None:
    with own_valkey.client() as client:
        client.acl_setuser("me", enabled=True, passwords=["+right"], keys="*", commands=["+@all"])
        client.acl_setuser("weak", enabled=True, passwords=["+right"], keys="x", commands=["+@all"])
        client.acl_setuser(
            "noinfo",
            enabled=True,
            passwords=["+right"],
            keys="graceful:*",
            commands=["+@all", "-info"],
        )
        client.config_set("requirepass", "hidden")
        for user in ["me:wrong@", "weak:right@", ""]:
            store = opener(own_valkey.url.replace("//", f"//{user}"))
            with pytest.raises(StoreError, match="user and password") as raised:
                store.check()
            assert not isinstance(raised.value, StoreUnavailable)
            assert "wrong" not in str(raised.value).replace("wrong number", "")
        for user in ["me", "noinfo"]:
            opener(own_valkey.url.replace("//", f"//{user}:right@")).check()
        client.execute_command("AUTH", "hidden")
        client.config_set("requirepass", "")


def test_redis_may_evict(
    own_valkey: Valkey, opener: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with own_valkey.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    opener(own_valkey.url).check()
    assert "allkeys-lru" in caplog.text


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
    store = opener(postgres_url, timeout=0.5)
    put(store)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE graceful_runs")
        with at_most(3), pytest.raises(StoreUnavailable):
            store.swap(RUN, 1, RUNNING)
    assert store.swap(RUN, 1, RUNNING).done


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
