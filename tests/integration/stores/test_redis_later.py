"""Answers of a Redis server that nobody waited for."""

from __future__ import annotations

import pytest

from celery_graceful.model.record import Outcome, Record, RunKey, State
from celery_graceful.stores.base import Store
from celery_graceful.stores.redis_line import ANSWER
from tests.harness.waiting import wait_for
from tests.integration.stores.outage import Open, back_again
from tests.integration.stores.samples import RUN, put, read
from tests.servers.valkey import Valkey

ENDED = Record(State.ENDED, fence=1, outcome=Outcome.COMPLETED)
OTHER = RunKey("t", "other")


@pytest.fixture
def store(own_valkey: Valkey, opener: Open) -> Store:
    """One that knows its script: the first call of each is waited for."""
    store = opener(own_valkey.url, timeout=1)
    put(store)
    put(store, run=OTHER)
    return store


@pytest.fixture
def failures() -> list[str]:
    return []


def end(store: Store, failures: list[str]) -> None:
    store.swap_later(RUN, 1, ENDED, keep=60, failed=lambda: failures.append("failed"))


def test_a_server_that_died_is_told(store: Store, own_valkey: Valkey, failures: list[str]) -> None:
    own_valkey.freeze()
    end(store, failures)
    assert failures == []
    wait_for(store.unsettled, 5 + ANSWER, "the answer to be overdue")
    own_valkey.kill()
    store.settle()
    assert failures == ["failed"]
    assert not store.unsettled()


def test_a_server_that_is_dead_already_is_told(
    store: Store, own_valkey: Valkey, failures: list[str]
) -> None:
    own_valkey.kill()
    end(store, failures)
    store.settle()
    assert failures == ["failed"]


def test_a_server_that_says_nothing_is_told(
    store: Store, own_valkey: Valkey, failures: list[str]
) -> None:
    own_valkey.freeze()
    end(store, failures)
    store.settle()  # waits for as long as the store's time-out
    own_valkey.thaw()
    assert failures == ["failed"]
    wait_for(lambda: back_again(store), 10, "Redis to answer again")


def test_a_script_that_was_forgotten_is_told_and_learnt_again(
    store: Store, own_valkey: Valkey, failures: list[str]
) -> None:
    with own_valkey.client() as client:
        client.script_flush()
    end(store, failures)
    assert store.load(OTHER).record is not None  # the next call hears the answer first
    assert failures == ["failed"]
    assert read(store).state is State.RUNNING
    end(store, failures)
    store.settle()
    assert failures == ["failed"]
    assert read(store).state is State.ENDED


def test_a_server_without_memory_is_told(
    store: Store, own_valkey: Valkey, failures: list[str]
) -> None:
    with own_valkey.client() as client:
        client.config_set("maxmemory", "100kb")
        late = Record(State.RUNNING, fence=1)
        store.swap_later(OTHER, 1, late, keep=60, failed=lambda: failures.append("memory"))
        store.settle()
        client.config_set("maxmemory", "0")
    assert read(store).state is State.RUNNING


def test_closing_hears_what_is_due(store: Store, failures: list[str]) -> None:
    end(store, failures)
    store.close()
    assert not store.unsettled()
    assert read(store).state is State.ENDED
    assert failures == []


def test_the_next_call_gets_its_own_answer(store: Store, failures: list[str]) -> None:
    for _ in range(3):
        end(store, failures)  # but for the first, the version has moved on
        found = store.load(OTHER).record
        assert found is not None
        assert found.state is State.RUNNING
    assert failures == ["failed", "failed"]
