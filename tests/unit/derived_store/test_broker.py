"""A store that is derived from the broker: it connects with all that Celery connects with."""

from __future__ import annotations

import os
import ssl
from typing import Any

import pytest
from celery import Celery
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.sentinel import SentinelConnectionPool

from celery_graceful.runtime import runtime_of
from celery_graceful.stores.redis.store import RedisStore
from tests.unit.derived_store.apps import (
    CA,
    NONE,
    PROVIDER,
    SENTINELS,
    app_with,
    pool_of,
    prefix,
    told,
)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
@pytest.mark.parametrize("use", [CA, NONE])
@pytest.mark.parametrize("of", ["broker", "backend"])
def test_tls(scheme: str, use: dict[str, Any], of: str) -> None:
    url = f"{scheme}://h.invalid:6390/2"
    if of == "broker":
        app = app_with(broker_url=url, broker_use_ssl=use)
    else:
        app = app_with(broker_url="amqp://", result_backend=url, redis_backend_use_ssl=use)
    assert pool_of(app).connection_class is SSLConnection
    options = told(app)
    assert {**options, **use} == options
    assert (options["host"], options["port"], options["db"]) == ("h.invalid", 6390, 2)


def test_tls_without_options_is_as_unverified_as_the_broker_s() -> None:
    assert told(app_with(broker_url="rediss://h.invalid/2"))["ssl_cert_reqs"] == ssl.CERT_NONE


def test_tls_in_the_query() -> None:
    query = "ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/etc/ca.pem"
    for app in (
        app_with(broker_url=f"rediss://h.invalid/2?{query}"),
        app_with(broker_url="amqp://", result_backend=f"rediss://h.invalid/2?{query}"),
    ):
        options = told(app)
        assert options["ssl_cert_reqs"] == ssl.CERT_REQUIRED
        assert options["ssl_ca_certs"] == "/etc/ca.pem"


@pytest.mark.parametrize("form", [SENTINELS, SENTINELS.split(";")])
@pytest.mark.parametrize("use", [None, CA])
def test_sentinel_of_the_broker(form: Any, use: Any) -> None:
    options = {"master_name": "shop", "sentinel_kwargs": {"password": "of-sentinel"}}
    app = app_with(broker_url=form, broker_transport_options=options, broker_use_ssl=use)
    pool = pool_of(app)
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "shop"
    sentinels = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"]) for each in sentinels] == [
        ("a.invalid", 1),
        ("b.invalid", 26379),
    ]
    assert {each["password"] for each in sentinels} == {"of-sentinel"}
    assert {each["socket_timeout"] for each in sentinels} == {2}
    assert told(app)["password"] == "pw"
    assert (told(app).get("ssl_ca_certs") == CA["ssl_ca_certs"]) is (use is not None)
    assert not runtime_of(app).store_caveat  # several Sentinels lead to one master


@pytest.mark.parametrize(
    "settings",
    [
        {"broker_url": f"redis://user:old@h.invalid?credential_provider={PROVIDER}"},
        {
            "broker_url": "amqp://",
            "result_backend": f"redis://user:old@h.invalid?credential_provider={PROVIDER}",
        },
        {
            "broker_url": "amqp://",
            "result_backend": "redis://user:old@h.invalid",
            "redis_backend_credential_provider": PROVIDER,
        },
        {
            "broker_url": "amqp://",
            "graceful_store": f"redis://user:old@h.invalid?credential_provider={PROVIDER}",
        },
        {
            "broker_url": "amqp://",
            "graceful_store": "redis://h.invalid",
            "graceful_store_options": {"credential_provider": PROVIDER},
        },
    ],
)
def test_a_credential_provider(settings: dict[str, Any]) -> None:
    options = told(app_with(**settings))
    assert options["credential_provider"].get_credentials() == ("someone", "from-the-provider")
    assert options.get("username") is options.get("password") is None


def test_each_process_has_a_provider_of_its_own() -> None:
    """One may renew its tokens in a thread, and no thread outlives a fork."""
    runtime = runtime_of(app_with(broker_url=f"redis://?credential_provider={PROVIDER}"))

    def provider() -> Any:
        store = runtime.open_store()
        assert isinstance(store, RedisStore)
        pool: Any = store._own_caller().server(b"").connection_pool
        return pool.connection_kwargs["credential_provider"]

    before = provider()
    assert provider() is before
    pid = os.fork()
    if pid == 0:
        os._exit(0 if provider() is not before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_warnings_of_kombu_are_not_multiplied(caplog: pytest.LogCaptureFixture) -> None:
    runtime = runtime_of(app_with(broker_url="rediss://h.invalid"))
    for _ in range(5):
        runtime.open_store().close()
    assert caplog.text.count("insecure SSL") <= 2


def test_settings_are_named_as_the_app_writes_them() -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object({"CELERY_BROKER_URL": "redis://h.invalid"}, namespace="CELERY")
    assert "derived from CELERY_BROKER_URL" in runtime_of(app).store_address


def test_names_and_passwords_beside_the_url() -> None:
    app = app_with(
        broker_url="redis://h.invalid/4", broker_user="me", broker_password="p@ss", broker_port=7
    )
    options = told(app)
    assert (options["username"], options["password"], options["db"]) == ("me", "p@ss", 4)
    app = app_with(
        broker_url="amqp://",
        result_backend="redis://h.invalid",
        redis_username="me",
        redis_password="p@ss",
        redis_db=5,
    )
    options = told(app)
    assert (options["username"], options["password"]) == ("me", "p@ss")


def test_a_broker_without_a_url() -> None:
    app = app_with(broker_transport="redis", broker_host="h.invalid", broker_vhost="3")
    options = told(app)
    assert (options["host"], options["db"]) == ("h.invalid", 3)


def test_a_broker_whose_host_has_the_name_of_a_scheme() -> None:
    """As in many a compose file."""
    app = app_with(broker_transport="redis", broker_host="redis", broker_vhost="3")
    options = told(app)
    assert (options["host"], options["db"]) == ("redis", 3)
    assert runtime_of(app).store_address == "redis://redis:6379/3 (derived from broker_host)"


def test_a_socket_of_the_file_system() -> None:
    url = "redis+socket:///run/redis.sock?virtual_host=2"
    app = app_with(broker_url=url, broker_transport_options={"socket_keepalive": True})
    assert pool_of(app).connection_class is UnixDomainSocketConnection
    options = pool_of(app).connection_kwargs
    assert (options["path"], options["db"]) == ("/run/redis.sock", 2)
    assert not runtime_of(app).store.shared_between_hosts
    backend = app_with(
        broker_url="amqp://", result_backend="redis+socket:///run/redis.sock?virtual_host=2"
    )
    assert pool_of(backend).connection_kwargs["path"] == "/run/redis.sock"


def test_options_of_the_transport() -> None:
    alive = {1: 60}
    app = app_with(
        broker_url="redis://h.invalid",
        broker_transport_options={
            "client_name": "shop-broker",
            "health_check_interval": 7,
            "socket_keepalive": True,
            "socket_keepalive_options": alive,
            "socket_timeout": 120,  # of a BRPOP; a store answers within graceful_store_timeout
            "retry_on_timeout": True,
            "visibility_timeout": 9,
        },
    )
    options = told(app)
    assert options["client_name"] == "shop-broker"
    assert options["health_check_interval"] == 7
    assert options["socket_keepalive_options"] == alive
    assert "retry_on_timeout" not in options


def test_a_key_prefix() -> None:
    """As the broker and the backend put it before their own keys."""
    app = app_with(broker_url="redis://", broker_transport_options={"global_keyprefix": "shop-"})
    assert prefix(app) == b"shop-graceful:{shop}:live"
    app = app_with(
        broker_url="amqp://",
        result_backend="redis://",
        result_backend_transport_options={"global_keyprefix": "shop"},
    )
    assert prefix(app) == b"shop_graceful:{shop}:live"


def test_one_hash_tag_whatever_the_namespace_is() -> None:
    app = app_with(broker_url="redis://", graceful_namespace="}a{b:c")
    assert prefix(app) == b"graceful:{%7Da%7Bb%3Ac}:live"


@pytest.mark.parametrize(
    "settings",
    [
        {"broker_url": "redis://:hidden@a.invalid;redis://:hidden@b.invalid"},
        {"broker_url": ["redis://:hidden@a.invalid", "redis://:hidden@b.invalid"]},
        {"broker_url": ["redis://:hidden@a.invalid", "amqp://b.invalid"]},
        {
            "broker_url": "redis://:hidden@a.invalid;redis://b.invalid",
            "broker_failover_strategy": "shuffle",
        },
        {
            "broker_write_url": "redis://:hidden@a.invalid",
            "broker_read_url": "redis://b.invalid",
        },
        {
            "broker_url": "redis://c.invalid",
            "broker_write_url": "redis://:hidden@a.invalid;redis://b.invalid",
            "broker_read_url": "redis://:hidden@a.invalid",
        },
    ],
)
def test_the_first_of_several_keeps_the_runs(settings: dict[str, Any]) -> None:
    app = app_with(**settings)
    for _ in range(5):
        assert app.connection_for_write().hostname is not None  # a shuffled list stays as it is
        assert told(app_with(**settings))["host"] == "a.invalid"
    caveat = runtime_of(app).store_caveat
    setting = "broker_write_url" if "broker_write_url" in settings else "broker_url"
    assert f"a.invalid (derived from {setting}), the first of several" in caveat
    assert "b.invalid" in caveat
    assert "graceful_store" in caveat
    assert "hidden" not in caveat


def test_a_store_that_is_set_is_relied_on() -> None:
    app = app_with(broker_url="redis://a;redis://b", graceful_store="redis://c.invalid")
    assert not runtime_of(app).store_caveat
    assert told(app)["host"] == "c.invalid"


@pytest.mark.parametrize(
    ("url", "options", "shown"),
    [
        ("redis://:pw@host:1/2", {}, "redis://host:1/2"),
        ("redis://:pw@host:1/2", {"broker_use_ssl": NONE}, "rediss://host:1/2"),
        ("rediss://:pw@host:1/2", {"broker_use_ssl": CA}, "rediss://host:1/2"),
        ("amqps://u:pw@host:1//", {}, "amqps://host:1//"),
        ("amqp://u:pw@host:1//", {}, "amqp://host:1//"),
    ],
)
def test_commands_name_the_broker_with_its_tls(
    url: str, options: dict[str, Any], shown: str
) -> None:
    runtime = runtime_of(app_with(broker_url=url, **options))
    assert runtime.broker_shown == shown
    assert runtime.broker == shown.replace("diss:", "dis:").replace("qps:", "qp:"), "in records"
