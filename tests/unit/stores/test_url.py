"""Store URLs: the good ones, and what the bad ones are told."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from celery_graceful.errors import SettingsError
from celery_graceful.stores.base import Store
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.stores.redis.store import RedisStore
from celery_graceful.stores.sql.store import SqlStore
from celery_graceful.stores.url import open_store
from celery_graceful.text.masking import mask_url


@pytest.mark.parametrize(
    ("url", "kind", "hosts"),
    [
        ("memory://", MemoryStore, False),
        ("redis://", RedisStore, True),
        ("redis://user:p%40ss@host.invalid:6390/3?health_check_interval=5", RedisStore, True),
        ("REDIS://host.invalid", RedisStore, True),
        ("rediss://host.invalid/0?ssl_cert_reqs=CERT_NONE", RedisStore, True),
        ("rediss://host.invalid/0?ssl_cert_reqs=required", RedisStore, True),
        ("valkey://host.invalid/1", RedisStore, True),
        ("valkeys://host.invalid/1", RedisStore, True),
        ("unix:///run/redis.sock?db=2", RedisStore, False),
        ("redis+socket:///run/redis.sock?virtual_host=2", RedisStore, False),
        ("sentinel://a.invalid:1;sentinel://b.invalid/0?master_name=m", RedisStore, True),
        ("sentinel://:pw@a.invalid/0?master_name=m&sentinel_password=x", RedisStore, True),
        ("sqlite:///runs.db", SqlStore, False),
        ("postgresql+psycopg://u:p@host.invalid/db", SqlStore, True),
    ],
)
def test_opening_connects_to_nothing(url: str, kind: type[Store], hosts: bool) -> None:
    store = open_store(url, "shop")
    assert isinstance(store, kind)
    assert isinstance(store, Store)
    assert store.shared_between_hosts is hosts
    assert store.shared_between_processes is (kind is not MemoryStore)
    store.close()


def test_the_master_may_be_named_apart() -> None:
    open_store(
        "sentinel://a.invalid;sentinel://b.invalid", "shop", options={"master_name": "m"}
    ).close()


def options_of(url: str) -> dict[str, Any]:
    from celery_graceful.stores.redis.client import plan

    client = plan(url, 1.5).connect().server(b"")
    return dict(client.connection_pool.connection_kwargs)


def test_what_redis_is_told() -> None:
    options = options_of("redis://user:p%40ss@host.invalid:6390/3?health_check_interval=5")
    assert options["host"] == "host.invalid"
    assert options["port"] == 6390
    assert options["db"] == 3
    assert (options["username"], options["password"]) == ("user", "p@ss")
    assert options["health_check_interval"] == 5
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 1.5
    assert "retry" in options  # of redis-py, where the default is three
    assert options_of("redis://h/?socket_timeout=9")["socket_timeout"] == 9
    assert options_of("unix:///run/r.sock?virtual_host=/2")["path"] == "/run/r.sock"
    assert options_of("unix:///run/r.sock?virtual_host=/2")["db"] == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is no URL"),
        ("localhost:6379", "is no URL"),
        ("redis:/host", "is no URL"),
        ("redis://:hidden@host:port/0", "(?i)port"),
        ("redis://:hidden@host/zero", "'zero', not a number"),
        ("redis://:hidden@host/0?colour=red", "colour"),
        ("redis://:hidden@host/0?socket_timeout=soon", "socket_timeout"),
        ("rediss://:hidden@host/0?ssl_cert_reqs=perhaps", "(?i)certificate"),
        ("redis://:hid[den@host/0", "cannot be used"),
        ("redis://:hidden/x@host/0", "not percent-encoded"),
        ("redis://:x/hidden@host/0", "not percent-encoded"),
        ("redis://:x#hidden@host/0", "not percent-encoded"),
        ("redis://:x@y/hidden@host/0", "not percent-encoded"),
        ("sentinel://:x/hidden@host/0?master_name=m", "not percent-encoded"),
        ("unix://", "the path of the socket is missing"),
        ("sentinel://:hidden@host", "master_name="),
        ("sentinel://:hidden@host;host2/0?master_name=m", "every part"),
        ("sentinel://:hidden@host/0?master_name=m&colour=red", "colour"),
        ("amqp://me:hidden@host//", "cannot hold the records"),
        ("http://me:hidden@host", "cannot hold the records"),
        ("foo://me:hidden@host", "knows no foo://"),
        ("postgres://me:hidden@host/db", r"postgresql\+psycopg://"),
        ("postgresql+asyncpg://me:hidden@host/db", "asyncio|not installed"),
        ("mssql+pyodbc://me:hidden@host/db", "not installed"),
        ("postgresql+psycopg://me:hidden@host:port/db", "cannot be used"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as raised:
        open_store(url, "shop")
    assert "graceful_store" in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert "hid[den" not in str(raised.value)


def test_sqlalchemy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sqlalchemy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"celery-graceful\[sqlalchemy\]"):
        open_store("sqlite:///runs.db", "shop")
    open_store("memory://", "shop")


def test_memory_is_one_store_per_url_and_namespace() -> None:
    store = open_store("memory://x", "shop")
    assert open_store("memory://x", "shop") is store
    assert open_store("memory://y", "shop") is not store
    assert open_store("memory://x", "other") is not store


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:1/0", "redis://host:1/0"),
        ("redis://:pw@host:1/0", "redis://:***@host:1/0"),
        ("redis://me:pw@host:1/0", "redis://me:***@host:1/0"),
        ("redis://me:p@w/x:y@host:1/0", "redis://me:***@host:1/0"),
        ("redis://pw@host", "redis://***@host"),
        ("redis://host/0?password=pw&db=1", "redis://host/0?password=***&db=1"),
        (
            "sentinel://:a@h;sentinel://:b@i/0?sentinel_password=c",
            "sentinel://:***@h;sentinel://:***@i/0?sentinel_password=***",
        ),
        ("sqlite:////home/me@work/runs.db", "sqlite:////home/me@work/runs.db"),
        ("unix:///run/me@work?password=pw", "unix:///run/me@work?password=***"),
        ("not a url", "***"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert mask_url(url) == shown
