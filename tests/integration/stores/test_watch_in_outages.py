"""A store that answers and refuses counts as one that is away: runs wait, and plain tasks go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from celery_graceful.maintenance.mode_changes import NOTICE
from celery_graceful.maintenance.workers import Report, known_workers
from celery_graceful.model.maintenance.mode import EVERYTHING, Mode, hold_scopes
from celery_graceful.model.maintenance.mode_text import encode_mode
from celery_graceful.stores.base import NOTICES, Store
from celery_graceful.stores.redis.errors import rule
from celery_graceful.worker.maintenance.mode_watch import ModeWatch
from tests.harness.waiting import wait_for
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
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


def test_a_slow_answer_is_an_answer(
    redis_url: str, opener: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    """Each call takes a quarter of a second: the mode is known later, and nothing else changes.

    Slower than the store's timeout is away; as soon as it is faster again, it is back.
    """
    at = urlsplit(redis_url)
    assert at.port is not None
    proxy, direct = Proxy(at.port), opener(redis_url)
    slow = redis_url.replace(f":{at.port}/", f":{proxy.port}/")
    report = Report(hostname="w@h", pid=1, pool="solo", slots=1)
    watch = ModeWatch(
        "w", lambda: opener(slow, timeout=1.0), lambda: report, lambda: None, poll=0.3, lease=9
    )
    watch.start(10)
    try:
        assert watch.is_known
        proxy.delay = 0.25
        down = encode_mode(hold_scopes(Mode(), [EVERYTHING], now=1.0, who="ann"))
        direct.write_text(NOTICES, NOTICE, down)
        began = time.monotonic()
        wait_for(lambda: bool(watch.known.mode.holds), 20, "that the mode is known")
        assert time.monotonic() - began < 10
        for _ in range(3):
            looked = known_workers(direct)[0].age
            wait_for(lambda: known_workers(direct)[0].age < looked, 20, "another report")  # noqa: B023
            assert watch.answers
            assert not watch.known.runs_wait
            (known,) = known_workers(direct)
            assert known.age < 9, "others take it for gone"
        assert "The store cannot be used" not in caplog.text
        proxy.delay = 2.5
        wait_for(lambda: not watch.answers and watch.known.runs_wait, 20, "that it is away")
        assert watch.known.mode.holds, "the mode stays as it was"
        proxy.delay = 0.0
        wait_for(lambda: watch.answers and not watch.known.runs_wait, 30, "that it is back")
    finally:
        began = time.monotonic()
        watch.stop()
        proxy.close()
    assert time.monotonic() - began < 5


def test_a_stop_does_not_wait_for_a_slow_store(
    redis_url: str, opener: Callable[..., Store]
) -> None:
    at = urlsplit(redis_url)
    assert at.port is not None
    proxy = Proxy(at.port)
    slow = redis_url.replace(f":{at.port}/", f":{proxy.port}/")
    report = Report(hostname="w@h", pid=1, pool="solo", slots=1)
    watch = ModeWatch(
        "w", lambda: opener(slow, timeout=20.0), lambda: report, lambda: None, poll=0.1, lease=9
    )
    watch.start(10)
    proxy.delay = 6.0
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 1 + 2
    proxy.drop()
    proxy.close()
