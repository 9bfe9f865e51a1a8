"""A store in a Redis Cluster of three masters, which move slots and die."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import redis

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.model.run.record import RunKey, State
from celery_graceful.stores.base import NOTICES, REPORTS, Store
from celery_graceful.stores.redis.store import RedisStore
from celery_graceful.testing.store_contract import StoreContract
from celery_graceful.testing.store_contract.samples import RUN, RUNNING, listed, put, read
from tests.harness.waiting import wait_for
from tests.servers.cluster import Cluster
from tests.servers.process import HOST

from .conftest import Opener

Open = Callable[..., Store]

KEY = "graceful:{test}:live"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The module's cluster; the last test kills one of its nodes."""
    with Cluster() as started:
        yield started


class TestStore(StoreContract):
    """The contract, in a cluster."""

    @pytest.fixture
    def open_store(self, cluster: Cluster, opener: Open) -> Opener:
        cluster.flush()
        return lambda namespace: opener(cluster.url, namespace)


def _all_keys(cluster: Cluster) -> dict[int, set[bytes]]:
    return {port: set(cluster.ask(port, "KEYS", "*")) for port in cluster.ports[:3]}


def test_apps_are_spread_and_the_keys_of_each_are_together(cluster: Cluster, opener: Open) -> None:
    cluster.flush()
    names = [f"app-{number}" for number in range(12)]
    for name in names:
        store = opener(cluster.url, name)
        put(store)
        store.quarantine(RUN, RUNNING.fence, 1, "entry", keep=60)
    found = _all_keys(cluster)
    assert sum(bool(keys) for keys in found.values()) > 1
    for name in names:
        tag = f"graceful:{{{name}}}:".encode()
        assert sum(any(key.startswith(tag) for key in keys) for keys in found.values()) == 1


def test_a_url_of_one_server_says_what_to_write(cluster: Cluster, opener: Open) -> None:
    owner = cluster.owner(KEY)
    elsewhere = next(port for port in cluster.ports[:3] if port != owner)
    with pytest.raises(StoreError, match=r"redis\+cluster://") as raised:
        opener(f"redis://{HOST}:{elsewhere}/0").load(RUN)
    assert not isinstance(raised.value, StoreUnavailable)


def test_a_server_that_takes_keys_of_one_slot_at_a_time(cluster: Cluster, opener: Open) -> None:
    """As the single address of a hosted cluster, which answers CROSSSLOT to anything else."""
    cluster.flush()
    port = cluster.owner(KEY)
    with pytest.raises(redis.RedisError, match="slot"):
        cluster.ask(port, "DEL", KEY, "elsewhere")
    store = opener(f"redis://{HOST}:{port}/0")
    store.check()
    put(store)
    assert [key for key, _ in listed(store, 9)] == [RUN]


def test_what_it_says_of_its_durability(cluster: Cluster, opener: Open) -> None:
    store = opener(cluster.url)
    assert isinstance(store, RedisStore)
    durability = store.durability()
    assert durability.eviction == "noeviction"
    assert durability.persistent is False


def test_it_follows_a_slot_that_moves(cluster: Cluster, opener: Open) -> None:
    cluster.flush()
    store = opener(cluster.url)
    put(store)
    source = cluster.owner(KEY)
    store.write_text(NOTICES, "n", "text", expected=0)
    ended = replace(RUNNING, state=State.ENDED, owner=None)
    assert store.swap(RunKey("shop.other", "1"), 0, ended, keep=600).done
    target = next(port for port in cluster.ports[:3] if port != source)
    cluster.move(KEY, target, finish=False)
    assert _saved(store)  # asked of the other node for the time of the move
    assert [key for key, _ in listed(store, 9)] == [RUN, RunKey("shop.other", "1")]
    # What has keys on both sides, those that are not there yet included, waits for its end.
    with pytest.raises(StoreUnavailable, match="does not answer now"):
        store.write_text(REPORTS, "me", "report", keep=60)
    cluster.finish(KEY, source, target)
    assert _saved(store)
    assert store.read_text(NOTICES, "n").text == "text"
    assert cluster.ask(target, "EXISTS", KEY) == 1


def test_a_listing_forgets_nothing_that_has_moved_before_its_index(
    cluster: Cluster, opener: Open
) -> None:
    cluster.flush()
    store = opener(cluster.url)
    put(store)
    source = cluster.owner(KEY)
    target = next(port for port in cluster.ports[:3] if port != source)
    cluster.move(KEY, target, finish=False, names=["graceful:{test}:run:proj.tasks.reindex:5f0c"])
    for look in (lambda: store.due(9), lambda: listed(store, 9), lambda: store.named("5f", 9)):
        with suppress(StoreUnavailable):
            look()
    cluster.move(KEY, target)
    assert [key for key, _ in listed(store, 9)] == [RUN]
    assert store.named("5f", 9) == [RUN]


def test_it_follows_a_replica_that_takes_over(cluster: Cluster, opener: Open) -> None:
    cluster.flush()
    store = opener(cluster.url, timeout=1)
    put(store)
    owner = cluster.owner(KEY)
    cluster.replicate(owner)
    version = read(store).version
    cluster.kill(owner)
    wait_for(lambda: _saved(store), 60, "the failover")
    assert read(store).version > version
    assert cluster.owner(KEY) == cluster.ports[-1]


def _saved(store: Store) -> bool:
    try:
        return store.swap(RUN, read(store).version, RUNNING).done
    except StoreUnavailable:
        return False
