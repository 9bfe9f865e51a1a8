"""Redis servers that are away for a while, or are something else altogether."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import closing

import pytest

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model.run.record import Record, State
from celery_graceful.stores.base import NOTICES, REPORTS, Store
from celery_graceful.testing.store_contract.samples import OWNER, RUN, RUNNING, listed, put, read
from tests.harness.waiting import wait_for
from tests.integration.stores.outage import Open, at_most, every_call, found
from tests.servers.process import free_port
from tests.servers.valkey import Valkey


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
        limit = 8 if url.startswith("postgres") else 3
        with at_most(limit), pytest.raises(StoreUnavailable):
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
    before = put(opener(own_valkey.url))
    wait_for(lambda: found(store), 10, "a connection")
    own_valkey.freeze()
    try:
        with at_most(2), pytest.raises(StoreUnavailable, match=str(own_valkey.port)):
            store.load(RUN)
    finally:
        own_valkey.thaw()
    assert wait_for(lambda: found(store), 10, "Redis to answer again") == before


def test_failed_connections_are_not_counted(own_valkey: Valkey, opener: Open) -> None:
    store = opener(f"{own_valkey.url}?max_connections=3", timeout=1)
    own_valkey.kill()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            store.load(RUN)
    own_valkey.start()
    put(store)


def test_redis_restarts(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url)
    put(store)
    own_valkey.kill()
    for call in every_call(store):
        with at_most(2), pytest.raises(StoreUnavailable):
            call()
    own_valkey.start()
    # All scripts are unknown to the new server.
    store.renew(OWNER, [RUN], due_in=9)
    assert not store.checkpoint(RUN, 1, "c", 1, due_in=9).accepted
    assert store.due(1) == listed(store, 1) == []
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
        with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
            store.renew(OWNER, [RUN], due_in=9)
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
        # As if it were away: what was refused is tried again.
        with pytest.raises(StoreUnavailable, match="no memory left"):
            store.swap(RUN, 1, RUNNING, due_in=9)
        with pytest.raises(StoreUnavailable, match="no memory left"):
            store.renew(OWNER, [RUN], due_in=9)
        assert read(store) == before
        # A run may still end, which gives memory back.
        assert store.swap(RUN, 1, Record(State.ENDED), keep=60).done
        # Nor is maintenance out of reach.
        assert store.write_text(NOTICES, "n", "text", expected=0) is not None
        assert store.write_text(REPORTS, "w", "report", keep=9) is not None
        assert store.read_text(NOTICES, "n").text == "text"
        assert [it.text for it in store.texts(REPORTS)] == ["report"]
        client.config_set("maxmemory", "0")


def test_redis_wants_replicas_that_are_not_there(own_valkey: Valkey, opener: Open) -> None:
    store = opener(own_valkey.url)
    put(store)
    with own_valkey.client() as client:
        client.config_set("min-replicas-to-write", "1")
        for call in (
            lambda: store.swap(RUN, 1, RUNNING, due_in=9),
            lambda: store.renew(OWNER, [RUN], due_in=9),
            lambda: store.write_text(NOTICES, "n", "text", expected=0),
            lambda: store.write_text(REPORTS, "w", "report", keep=9),
        ):
            with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
                call()
        client.config_set("min-replicas-to-write", "0")


def test_redis_wants_another_password(own_valkey: Valkey, opener: Open) -> None:
    with own_valkey.client() as client:
        client.acl_setuser("me", enabled=True, passwords=["+right"], keys="*", commands=["+@all"])
        for name in ("zrem", "pexpire"):
            commands = ["+@all", f"-{name}"]
            client.acl_setuser(
                name, enabled=True, passwords=["+right"], keys="*", commands=commands
            )
        client.acl_setuser("weak", enabled=True, passwords=["+right"], keys="x", commands=["+@all"])
        client.acl_setuser(
            "noinfo",
            enabled=True,
            passwords=["+right"],
            keys="graceful:*",
            commands=["+@all", "-info"],
        )
        client.config_set("requirepass", "hidden")
        for user in ["me:wrong@", "weak:right@", "zrem:right@", "pexpire:right@", ""]:
            store = opener(own_valkey.url.replace("//", f"//{user}"))
            known = user.endswith(":right@")
            lacks = "these rights" if known else "user and password"
            with pytest.raises(StoreError, match=lacks) as raised:
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
