"""What the main process could not tell the store is told later, and holds up nothing else."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from celery.worker import state as _typed_state
from kombu.message import Message

from celery_graceful._celery.consumer.request import RunRequest
from celery_graceful._celery.message.envelope import pack
from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stop import flag as stop_flag
from celery_graceful.stores.url import open_store
from celery_graceful.testing.store_contract.samples import read
from celery_graceful.worker.lease_renewer import SETTLE_AGAIN, LeaseRenewer
from tests.harness.waiting import wait_for
from tests.integration.stores.written import Elsewhere
from tests.servers.valkey import Valkey

from .conftest import TASK, Faulty, MakeApp, envelope_of

state: Any = _typed_state

RUN, BAD = RunKey(TASK, "run"), RunKey(TASK, "bad")


@pytest.fixture
def runtime(make_app: MakeApp, own_valkey: Valkey) -> Runtime:
    return runtime_of(make_app("memory://", own_valkey.url, graceful_lease_ttl=5))


@pytest.fixture
def lease_renewer(runtime: Runtime) -> Iterator[LeaseRenewer]:
    """A lease_renewer whose own thread reaches the store, while the main thread does not."""
    away = Faulty(runtime.store)
    away.lose_calls = 1_000
    runtime.__dict__["store"] = away
    lease_renewer = LeaseRenewer(runtime, stop_flag.owned("w@host/1"), lambda: None)
    yield lease_renewer
    lease_renewer.stop()
    stop_flag.withdraw()


def carried(runtime: Runtime, run: RunKey) -> None:
    store = open_store(runtime.store_url, runtime.namespace)
    record = Record(State.RUNNING, fence=1, owner="w@host/1", envelope=b"x")
    assert store.swap(run, 0, record, due_in=60).done
    store.close()


def received(app: Any, run_id: str) -> tuple[Any, RunRequest]:
    """A message of a run, and the request that the main process makes of it."""
    message = Message(
        body="[[], {}, {}]",
        content_type="application/json",
        content_encoding="utf-8",
        headers={"id": run_id, "task": TASK},
        channel=None,
    )
    return message, RunRequest(message, app=app, task=app.tasks[TASK], hostname="w@host")


def released(runtime: Runtime, run: RunKey) -> bool:
    record = runtime.store.load(run).record
    return record is not None and record.owner is None


def test_a_damaged_record_does_not_hold_up_the_others(
    runtime: Runtime,
    lease_renewer: LeaseRenewer,
    own_valkey: Valkey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for run in (BAD, RUN):
        carried(runtime, run)
        lease_renewer.child_lost(*run, 0, "signal 9")
    Elsewhere(own_valkey.url, runtime.namespace).rewrite(BAD, "{")
    lease_renewer.start()
    wait_for(lambda: released(runtime, RUN), 10, "the second run to be released")
    told = [line for line in caplog.text.splitlines() if "the store cannot take" in line]
    assert len(told) == 1
    assert str(BAD) in told[0]


def test_a_execution_that_left_while_the_store_was_away_is_no_crash(
    runtime: Runtime, lease_renewer: LeaseRenewer
) -> None:
    carried(runtime, RUN)
    lease_renewer.left(*RUN, 0, fence=1)
    lease_renewer.start()
    wait_for(lambda: released(runtime, RUN), 10, "that its run is free")
    record = runtime.store.load(RUN).record
    assert record is not None
    assert record.crashes == 0


def test_a_release_is_still_told_when_its_message_came_back_here(
    runtime: Runtime, lease_renewer: LeaseRenewer
) -> None:
    carried(runtime, RUN)
    carried(runtime, BAD)
    _, request = received(runtime.app, RUN.id)
    for run in (RUN, BAD):
        lease_renewer.child_lost(*run, 0, "signal 9")
    state.active_requests.add(request)
    try:
        lease_renewer.start()
        wait_for(lambda: released(runtime, BAD), 10, "that the other run is free")
        assert not released(runtime, RUN), "it might be another execution by now"
    finally:
        state.active_requests.discard(request)
    wait_for(lambda: released(runtime, RUN), 10, "that its run is free")


def test_a_store_that_refuses_does_not_fill_the_log(
    runtime: Runtime,
    lease_renewer: LeaseRenewer,
    own_valkey: Valkey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    carried(runtime, RUN)
    lease_renewer.child_lost(*RUN, 0, "signal 9")
    caplog.set_level(logging.ERROR)
    caplog.clear()
    with own_valkey.client() as client:
        client.config_set("maxmemory", "100kb")
        lease_renewer.start()
        wait_for(lambda: caplog.text.count("no memory left") >= 2, 10 * SETTLE_AGAIN, "two tries")
        began, ended = caplog.records[0].created, caplog.records[-1].created
        assert ended - began > SETTLE_AGAIN / 2
        client.config_set("maxmemory", "0")
    wait_for(lambda: released(runtime, RUN), 10, "the run to be released")


@pytest.fixture
def silent_broker() -> Iterator[str]:
    """A broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        yield f"amqp://127.0.0.1:{silent.getsockname()[1]}//"


def test_a_silent_broker_does_not_hold_up_the_beats(
    make_app: MakeApp, redis_url: str, silent_broker: str
) -> None:
    """Else a rescue that waits for the broker would cost the worker its own runs."""
    app = make_app(
        silent_broker,
        redis_url,
        graceful_lease_ttl=5,
        graceful_rescue_interval=0.1,
        graceful_release_timeout=30,
    )
    runtime = runtime_of(app)
    mine, lost = RunKey(TASK, "mine"), RunKey(TASK, "lost")
    message, request = received(app, "mine")
    envelope = pack(replace(envelope_of(app, message), broker=runtime.broker))
    running = Record(State.RUNNING, fence=1, owner="w@host/1", envelope=envelope)
    assert runtime.store.swap(mine, 0, running, due_in=5).done
    waiting = replace(running, state=State.INTERRUPTED, owner=None)
    assert runtime.store.swap(lost, 0, waiting, due_in=0).done
    lease_renewer = LeaseRenewer(runtime, stop_flag.owned("w@host/1"), lambda: None)
    state.active_requests.add(request)
    try:
        lease_renewer.start()
        for _ in range(4):
            seen = read(runtime.store, mine).version
            wait_for(lambda seen=seen: read(runtime.store, mine).version > seen, 10, "a beat")  # type: ignore[misc]
        there = read(runtime.store, mine)
        assert there == replace(running, version=there.version, due_at=there.due_at)
        assert lost in dict(runtime.store.due(10)), "so that a rescue waits for the broker"
    finally:
        state.active_requests.discard(request)
        lease_renewer.stop()
        stop_flag.withdraw()
