"""A server that is found through Sentinel, and moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from celery_graceful.errors import StoreUnavailable
from celery_graceful.stores.base import Store
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, put, read
from tests.harness.waiting import wait_for
from tests.servers.process import HOST, free_port
from tests.servers.sentinel import Sentinel
from tests.servers.valkey import Valkey

Open = Callable[..., Store]


@pytest.fixture
def sentinel_port(own_valkey: Valkey) -> Iterator[int]:
    """The port of a Sentinel that watches ``own_valkey`` under the name of ``mymaster``."""
    with Sentinel(own_valkey.port, "mymaster") as sentinel:
        yield sentinel.port


def _works(store: Store) -> bool:
    try:
        return store.swap(RUN, read(store).version, RUNNING).done
    except StoreUnavailable:
        return False


def test_the_store_follows_the_master(own_valkey: Valkey, sentinel_port: int, opener: Open) -> None:
    url = f"sentinel://{HOST}:{free_port()};sentinel://{HOST}:{sentinel_port}/0"
    store = opener(f"{url}?master_name=mymaster", timeout=1)
    store.check()
    put(store)
    with Valkey() as second, second.client() as client:
        client.replicaof(HOST, own_valkey.port)
        wait_for(
            lambda: client.info("replication").get("master_link_status") == "up", 20, "the replica"
        )
        with redis.Redis(host=HOST, port=sentinel_port) as sentinel:
            wait_for(lambda: sentinel.sentinel_slaves("mymaster"), 60, "Sentinel to know it")
        own_valkey.kill()
        with pytest.raises(StoreUnavailable):
            store.load(RUN)
        with redis.Redis(host=HOST, port=sentinel_port) as sentinel:
            sentinel.sentinel_set("mymaster", "down-after-milliseconds", 1000)
        wait_for(lambda: _works(store), 90, "the failover")
        assert client.info("replication")["role"] == "master"


def test_a_master_that_nobody_knows(sentinel_port: int, opener: Open) -> None:
    store = opener(f"sentinel://{HOST}:{sentinel_port}?master_name=other", timeout=1)
    with pytest.raises(StoreUnavailable, match="other"):
        store.check()
