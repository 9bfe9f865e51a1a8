"""A store that answers and refuses counts as one that is away: runs wait, and plain tasks go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import redis

from celery_graceful.maintenance.workers import Report
from celery_graceful.stores.base import Store
from celery_graceful.stores.redis.errors import rule
from celery_graceful.worker.maintenance.mode_watch import ModeWatch
from tests.harness.waiting import wait_for
from tests.servers.process import free_port
from tests.servers.valkey import Valkey

#: Microseconds for which the server loads one key, and how many keys there are.
LOAD_DELAY, KEYS = 2_000, 1_500
LOADS_SLOWLY = (
    *("--key-load-delay", str(LOAD_DELAY)),
    *("--loading-process-events-interval-bytes", "1024"),
)

Trouble = Callable[[Valkey], AbstractContextManager[None]]


@contextmanager
def no_permission(server: Valkey) -> Iterator[None]:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "me", "-@all")
        yield
        client.execute_command("ACL", "SETUSER", "me", *rule().split())


@contextmanager
def read_only_replica(server: Valkey) -> Iterator[None]:
    with server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        yield
        client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def save_that_fails(server: Valkey) -> Iterator[None]:
    blocker = server.folder / "dump.rdb" / "in-the-way"
    blocker.parent.mkdir()
    blocker.touch()
    with server.client() as client:
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_for(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 20, "MISCONF"
        )
        yield
        client.config_set("save", "")


@contextmanager
def slow_load(server: Valkey) -> Iterator[None]:
    with server.client() as client:
        client.mset({f"key-{n}": "x" * 100 for n in range(KEYS)})
        client.save()
    server.kill()
    server.start(wait=False)
    wait_for(lambda: loads(server), 20, "LOADING")
    yield


def loads(server: Valkey) -> bool:
    try:
        with server.client() as client:
            client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    raise AssertionError("it has loaded its data too fast")


TROUBLES: dict[str, tuple[Trouble, str]] = {
    "NOPERM": (no_permission, "refused the operation"),
    "READONLY": (read_only_replica, "READONLY|read only"),
    "MISCONF": (save_that_fails, "MISCONF"),
    "LOADING": (slow_load, "LOADING|loading"),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_watch_counts_it_as_an_outage(
    kind: str, opener: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    cause, said = TROUBLES[kind]
    report = Report(hostname="w@h", pid=1, pool="solo", slots=1)
    with Valkey(options=LOADS_SLOWLY if kind == "LOADING" else ()) as server:
        with server.client() as client:
            words: list[Any] = ["SETUSER", "me", "reset", "on", ">right", *rule().split()]
            client.execute_command("ACL", *words)
        default = kind == "LOADING"  # users are forgotten at a restart
        url = server.url if default else server.url.replace("//", "//me:right@")
        watch = ModeWatch(
            "w", lambda: opener(url, timeout=5.0), lambda: report, lambda: None, poll=9, lease=0.1
        )
        assert watch.look()
        assert not watch.known.runs_wait
        mode = watch.known.mode
        with cause(server):
            wait_for(lambda: not watch.look() and watch.known.runs_wait, 20, "that it is noticed")
            assert not watch.known.cut_off, "plain tasks go on"
            assert watch.known.mode == mode
        wait_for(watch.look, 60, "that it answers again", interval=0.1)
        assert not watch.known.runs_wait
    (line,) = [text for text in caplog.messages if "The store cannot be used" in text]
    assert any(word in line for word in said.split("|")), line
