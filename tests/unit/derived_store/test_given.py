"""A store that a setting names, its options, and errors that say where an address was read."""

from __future__ import annotations

from typing import Any

import pytest
from redis.connection import SSLConnection

from celery_graceful.errors import SettingsError
from celery_graceful.runtime import runtime_of
from celery_graceful.stores.sql.store import SqlStore
from tests.unit.derived_store.apps import (
    app_with,
    pool_of,
    prefix,
    told,
)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"broker_url": "sentinel://:hidden@a.invalid"},
            ["derived from broker_url", "master_name", "set graceful_store"],
        ),
        (
            {"broker_url": "redis://:hidden@a.invalid/zero"},
            ["broker_url = 'redis://:***@a.invalid/zero'", "not zero"],
        ),
        (
            {"broker_url": "redis://:hidden@a.invalid?credential_provider=no.such.Class"},
            ["broker_url", "No module named 'no'"],
        ),
        (
            {"broker_url": "amqp://", "result_backend": "rediss://:hidden@a.invalid"},
            ["result_backend", "ssl_cert_reqs"],
        ),
        (
            {
                "broker_url": "amqp://",
                "graceful_store": "redis://:hidden@h.invalid",
                "graceful_store_options": {"credential_provider": "no.such.Class"},
            },
            ["graceful_store: redis://:***@h.invalid", "No module named 'no'"],
        ),
        (
            {
                "broker_url": "amqp://",
                "graceful_store": "sentinel://:hidden@h.invalid",
            },
            ["graceful_store_options", "master_name"],
        ),
        (
            {
                "broker_url": "amqp://",
                "graceful_store": "redis+cluster://:hidden@h.invalid/1",
            },
            ["a Redis Cluster has no database but 0"],
        ),
    ],
)
def test_errors_say_where_an_address_came_from(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        runtime_of(app_with(**settings)).store  # noqa: B018
    for word in words:
        assert word in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"ssl_cert_reqs": "CERT_NONE"},
        {"ssl": {"ssl_cert_reqs": "none"}},
        {"ssl": True, "ssl_cert_reqs": "none"},
    ],
)
def test_options_beside_the_url_of_a_store(options: dict[str, Any]) -> None:
    app = app_with(
        broker_url="amqp://",
        graceful_store="redis://h.invalid/1",
        graceful_store_options={**options, "global_keyprefix": "p:", "client_name": "me"},
    )
    assert pool_of(app).connection_class is SSLConnection
    assert told(app)["ssl_cert_reqs"] == "none"
    assert told(app)["client_name"] == "me"
    assert prefix(app).startswith(b"p:graceful:")


def test_options_of_a_sentinel_store() -> None:
    app = app_with(
        broker_url="amqp://",
        graceful_store="sentinel://a.invalid;sentinel://b.invalid:9",
        graceful_store_options={"master_name": "m", "sentinel_kwargs": {"password": "s"}},
    )
    pool = pool_of(app)
    assert pool.service_name == "m"
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs["password"] == "s"


def test_options_of_a_database_store() -> None:
    app = app_with(
        broker_url="amqp://",
        graceful_store="postgresql+psycopg://h.invalid/db",
        graceful_store_options={"pool_recycle": 77, "connect_args": {"sslmode": "require"}},
    )
    store = runtime_of(app).store
    assert isinstance(store, SqlStore)
    assert store._engine._engine.pool._recycle == 77


def test_wrong_options_are_not_quoted() -> None:
    app = app_with(graceful_store_options=["password", "hidden"])
    with pytest.raises(SettingsError, match="a list is not a mapping of options") as raised:
        runtime_of(app)
    assert "hidden" not in str(raised.value)
