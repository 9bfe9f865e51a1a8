"""Stores that are derived from what Celery connects with, on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.testing.store_contract.samples import put, read
from tests.servers.process import HOST
from tests.servers.tls import Tls
from tests.servers.valkey import Valkey


def runtime_with(**settings: Any) -> Runtime:
    app = Celery("shop", set_as_current=False)
    app.conf.update({"broker_url": "amqp://", **settings})
    return runtime_of(app)


def check(runtime: Runtime) -> None:
    """It writes and reads, and another one reads what it wrote."""
    other = runtime.open_store()
    try:
        runtime.store.check()
        put(runtime.store)
        assert read(other) == read(runtime.store)
    finally:
        runtime.store.close()
        other.close()


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_private_authority_has_to_be_known(
    valkey_server: Valkey, tmp_path: Path, scheme: str
) -> None:
    database = valkey_server.fresh_url().rpartition("/")[2]
    with Tls(valkey_server.port, tmp_path) as tls:
        url = f"{scheme}://localhost:{tls.port}/{database}"
        check(runtime_with(broker_url=url, broker_use_ssl={"ssl_ca_certs": str(tls.ca)}))
        unknown = runtime_with(broker_url=url, broker_use_ssl={"ssl_cert_reqs": "required"})
        with pytest.raises(StoreUnavailable, match=r"derived from broker_url.*CERTIFICATE"):
            unknown.store.check()


def test_options_of_a_store_that_is_set(valkey_server: Valkey, tmp_path: Path) -> None:
    database = valkey_server.fresh_url().rpartition("/")[2]
    with Tls(valkey_server.port, tmp_path) as tls:
        url = f"redis://{HOST}:{tls.port}/{database}"
        options = {"ssl_ca_certs": str(tls.ca)}
        check(runtime_with(graceful_store=url, graceful_store_options=options))


def test_a_wrong_password_is_looked_for_where_it_is(own_valkey: Valkey) -> None:
    with own_valkey.client() as client:
        client.config_set("requirepass", "right")
        url = f"redis://:hidden@{HOST}:{own_valkey.port}/0"
        with pytest.raises(StoreError, match="user and password in broker_url") as raised:
            runtime_with(broker_url=url).store.check()
        assert "hidden" not in str(raised.value)


def test_a_socket(tmp_path: Path) -> None:
    with Valkey(socket=tmp_path / "redis.sock") as server:
        url = f"redis+socket://{server.socket}?virtual_host=3"
        check(runtime_with(broker_url=url))
        with server.client(3) as client:
            assert client.keys("graceful:{shop}:*")


@pytest.mark.postgres
def test_the_database_of_the_results(postgres_url: str) -> None:
    options = {"connect_args": {"application_name": "shop-results"}, "pool_recycle": 60}
    check(runtime_with(result_backend=f"db+{postgres_url}", database_engine_options=options))
