"""The indexes of paused and failed runs come right again: what others wrote, and what vanished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from redis import Redis

from celery_graceful.stores.base import Store
from celery_graceful.stores.tabs import Counts, Tab, counts_of
from celery_graceful.stores.url import open_store
from celery_graceful.testing.store_contract.browsing import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    ids_of,
    key,
)
from celery_graceful.testing.store_contract.samples import put

KEYS = "graceful:{test}:"
RIGHT = Counts(active=700, paused=2, failed=3, ended=5)


@pytest.fixture
def client(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


@pytest.fixture
def many(redis_url: str, opener: Callable[..., Store]) -> Store:
    """More runs than one look goes through, paused and failed ones among them."""
    store: Store = opener(redis_url)
    for number in range(700):
        put(store, run=key(f"r{number}"))
    for number in range(2):
        put(store, replace(PAUSED, started_at=float(number)), key(f"p{number}"), due_in=None)
    for number, record in enumerate((FAILED, FAILED, FAILED, CANCELLED, COMPLETED)):
        assert store.swap(key(f"e{number}"), 0, record, keep=90 - number).done
    return store


def opened_anew(url: str) -> Counts:
    store = open_store(url, "test")
    try:
        return counts_of(store)
    finally:
        store.close()


def test_indexes_that_vanished(many: Store, client: Redis, redis_url: str) -> None:
    """Evicted, or of a version that knew none: the first process that counts goes through all."""
    assert client.delete(KEYS + "paused", KEYS + "failed", KEYS + "walked") >= 2
    assert ids_of(many, Tab.FAILED) == ["e0", "e1", "e2"]
    assert opened_anew(redis_url) == RIGHT
    assert ids_of(many, Tab.PAUSED) == ["p0", "p1"]


def test_an_index_that_vanished_later(many: Store, client: Redis) -> None:
    """Each count looks at some runs more."""
    assert counts_of(many) == RIGHT
    client.delete(KEYS + "failed")
    for _ in range(8):
        found = counts_of(many)
    assert found == RIGHT


@pytest.mark.parametrize("counted", [True, False])
def test_records_that_were_evicted(many: Store, client: Redis, counted: bool) -> None:
    if counted:
        assert counts_of(many) == RIGHT
    for name in ("p0", "e1", "r77"):
        assert client.delete(f"{KEYS}run:t:{name}") == 1
    assert ids_of(many, Tab.PAUSED) == ["p1"]
    assert ids_of(many, Tab.FAILED) == ["e0", "e2"]
    for _ in range(8):
        found = counts_of(many)
    assert found == Counts(active=699, paused=1, failed=2, ended=4)


def test_what_is_in_a_wrong_index(many: Store, client: Redis) -> None:
    """As after a change by a version that knows no such index."""
    assert counts_of(many) == RIGHT
    client.zadd(KEYS + "paused", {"t:r5": 1.0, "t:e0": 2.0, "t:none": 3.0})
    client.zadd(KEYS + "failed", {"t:r6": 9e9, "t:p0": 9e9, "t:e4": 9e9})
    assert ids_of(many, Tab.PAUSED) == ["p0", "p1"]
    assert ids_of(many, Tab.FAILED) == ["e0", "e1", "e2"]
    assert counts_of(many) == RIGHT
