"""A store that is derived from the result backend."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend
from celery.backends.redis import RedisBackend

from celery_graceful.runtime import runtime_of
from celery_graceful.stores.sql.store import SqlStore
from tests.unit.derived_store.apps import (
    app_with,
    pool_of,
    told,
)


class OfNoRedis(BaseKeyValueStoreBackend):
    """One that a project puts in the place of Celery's."""


class OwnBackend(RedisBackend):
    """A project's own."""


OWN = f"{__name__}:{OwnBackend.__name__}"


def test_sentinel_of_the_result_backend() -> None:
    options = {"master_name": "shop", "sentinel_kwargs": {"password": "of-sentinel"}}
    app = app_with(
        broker_url="amqp://",
        result_backend="sentinel://:pw@a.invalid:1/3;sentinel://b.invalid:2",
        result_backend_transport_options=options,
    )
    pool = pool_of(app)
    assert pool.service_name == "shop"
    sentinels = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"]) for each in sentinels] == [
        ("a.invalid", 1),
        ("b.invalid", 2),
    ]
    assert (told(app)["password"], told(app)["db"]) == ("pw", 3)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("redis", "redis://h.invalid:6379/5"),
        (RedisBackend, "redis://h.invalid:6379/5"),
        ("celery.backends.redis:RedisBackend", "redis://h.invalid:6379/5"),
        (f"{OWN}+redis://:hidden@h.invalid/5", "redis://:***@h.invalid/5"),
        (OWN.replace(":", "."), "redis://h.invalid:6379/5"),
    ],
)
def test_a_result_backend_by_its_name_or_class(given: Any, address: str) -> None:
    app = app_with(broker_url="amqp://", result_backend=given, redis_host="h.invalid", redis_db="5")
    options = told(app)
    assert (options["host"], int(options["db"])) == ("h.invalid", 5)
    assert runtime_of(app).store_address == f"{address} (derived from result_backend)"


def test_the_result_backend_of_a_celery_class() -> None:
    class Own(Celery):
        backend_cls = "redis://h.invalid/5"

    app = Own("shop", set_as_current=False, broker="amqp://")
    assert told(app)["host"] == "h.invalid"


@pytest.mark.parametrize(
    "given", ["cache+memcached://h", "rpc://", "no.such:Class", "no.such.Class", "file:///tmp/x"]
)
def test_result_backends_that_are_no_redis(given: str) -> None:
    assert runtime_of(app_with(broker_url="amqp://", result_backend=given)).store_is_fallback


def test_a_backend_in_the_place_of_celery_s_is_not_taken_for_redis() -> None:
    app = app_with(broker_url="amqp://", result_backend="redis://h.invalid")
    app.loader.override_backends = {"redis": f"{__name__}:{OfNoRedis.__name__}"}
    assert runtime_of(app).store_is_fallback


def test_the_database_server_of_the_result_backend() -> None:
    engines: list[Any] = []
    app = app_with(
        broker_url="amqp://",
        result_backend="db+postgresql+psycopg://me:hidden@h.invalid/results",
        database_engine_options={"pool_recycle": 77, "connect_args": {"sslmode": "require"}},
        database_engine_callback=engines.append,
    )
    store = runtime_of(app).store
    assert isinstance(store, SqlStore)
    assert store._engine._engine.pool._recycle == 77
    assert {engine.url.host for engine in engines} == {"h.invalid"}
    assert "derived from result_backend" in runtime_of(app).store_address
    assert "hidden" not in runtime_of(app).store_address


def test_a_file_of_results_is_left_alone() -> None:
    app = app_with(broker_url="amqp://", result_backend="db+sqlite:///results.sqlite")
    assert runtime_of(app).store_is_fallback


def test_a_broker_whose_library_is_missing_is_not_redis() -> None:
    app = app_with(broker_url="nonsense://h", result_backend="redis://h.invalid")
    assert told(app)["host"] == "h.invalid"
