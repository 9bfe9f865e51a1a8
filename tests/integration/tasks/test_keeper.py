"""What the main process could not tell the store is told later, and holds up nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from celery_graceful.model.record import Record, RunKey, State
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.stores.url import open_store
from celery_graceful.worker.keeper import SETTLE_AGAIN, Keeper
from tests.harness.waiting import wait_for
from tests.integration.stores.written import Elsewhere
from tests.servers.valkey import Valkey

from .conftest import TASK, Faulty, MakeApp

RUN, BAD = RunKey(TASK, "run"), RunKey(TASK, "bad")


@pytest.fixture
def runtime(make_app: MakeApp, own_valkey: Valkey) -> Runtime:
    return runtime_of(make_app("memory://", own_valkey.url, graceful_lease_ttl=5))


@pytest.fixture
def keeper(runtime: Runtime) -> Iterator[Keeper]:
    """A keeper whose own thread reaches the store, while the main thread does not."""
    away = Faulty(runtime.store)
    away.lose_calls = 1_000
    runtime.__dict__["store"] = away
    keeper = Keeper(runtime, stop_flag.owned("w@host/1"), lambda: None)
    yield keeper
    keeper.stop()
    stop_flag.withdraw()


def carried(runtime: Runtime, run: RunKey) -> None:
    store = open_store(runtime.store_url, runtime.namespace)
    record = Record(State.RUNNING, fence=1, owner="w@host/1", envelope=b"x")
    assert store.swap(run, 0, record, due_in=60).done
    store.close()


def released(runtime: Runtime, run: RunKey) -> bool:
    record = runtime.store.load(run).record
    return record is not None and record.owner is None


def test_a_damaged_record_does_not_hold_up_the_others(
    runtime: Runtime, keeper: Keeper, own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    for run in (BAD, RUN):
        carried(runtime, run)
        keeper.child_lost(*run, 0, "signal 9")
    Elsewhere(own_valkey.url, runtime.namespace).rewrite(BAD, "{")
    keeper.start()
    wait_for(lambda: released(runtime, RUN), 10, "the second run to be released")
    told = [line for line in caplog.text.splitlines() if "the store cannot take" in line]
    assert len(told) == 1
    assert str(BAD) in told[0]


def test_a_store_that_refuses_does_not_fill_the_log(
    runtime: Runtime, keeper: Keeper, own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    carried(runtime, RUN)
    keeper.child_lost(*RUN, 0, "signal 9")
    caplog.set_level(logging.ERROR)
    caplog.clear()
    with own_valkey.client() as client:
        client.config_set("maxmemory", "100kb")
        keeper.start()
        wait_for(lambda: caplog.text.count("no memory left") >= 2, 10 * SETTLE_AGAIN, "two tries")
        began, ended = caplog.records[0].created, caplog.records[-1].created
        assert ended - began > SETTLE_AGAIN / 2
        client.config_set("maxmemory", "0")
    wait_for(lambda: released(runtime, RUN), 10, "the run to be released")
