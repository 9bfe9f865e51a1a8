"""Overdue runs that maintenance holds: they wait, and cost the store little."""

from __future__ import annotations

from typing import Any

import pytest

from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runs.lost.rescue import HELD_PAUSE, Rescuer
from celery_graceful.runtime import Runtime, runtime_of

from .conftest import MakeApp
from .test_rescue import drained, envelope, overdue

LEASE = 30.0


@pytest.fixture
def app(make_app: MakeApp, redis_url: str) -> Any:
    return make_app(redis_url, graceful_lease_ttl=LEASE)


@pytest.fixture
def runtime(app: Any) -> Runtime:
    return runtime_of(app)


def waiting(runtime: Runtime, name: str, packed: bytes) -> RunKey:
    """A run that nobody carries, and whose message was lost."""
    return overdue(runtime, name, packed, state=State.INTERRUPTED, owner=None, generation=1)


class Counted:
    """A store that counts how often it was asked what is overdue."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def due(self, limit: int) -> Any:
        self.asked += 1
        return self.store.due(limit)


def test_while_all_is_held_it_looks_now_and_then(app: Any, runtime: Runtime) -> None:
    store: Any = Counted(runtime.store)
    held = True
    rescuer = Rescuer(runtime, store, lambda task, queue: held)
    packed = envelope(app)[1]
    waiting(runtime, "a", packed)
    waiting(runtime, "b", packed)
    for second in range(60):
        rescuer.look(1000.0 + second)
    assert 60 / HELD_PAUSE <= store.asked <= 60 / HELD_PAUSE + 1
    assert list(drained(app)) == []
    held = False
    for second in range(60, 60 + int(LEASE + HELD_PAUSE) + 1):
        rescuer.look(1000.0 + second)
    assert len(list(drained(app))) == 2


def test_what_is_not_held_does_not_wait_for_what_is(app: Any, runtime: Runtime) -> None:
    rescuer = Rescuer(runtime, runtime.store, lambda task, queue: queue == "celery")
    waiting(runtime, "held", envelope(app)[1])
    rescuer.look(1000.0)
    free = envelope(app)[1].replace(b'"routing_key": "celery"', b'"routing_key": "other"')
    waiting(runtime, "free", free)
    rescuer.look(1000.0 + HELD_PAUSE)
    record = runtime.store.load(RunKey("proj.work", "free")).record
    assert record is not None
    assert record.republished == 1


def test_runs_of_others_are_forgotten_with_them(app: Any, runtime: Runtime) -> None:
    rescuer = Rescuer(runtime, runtime.store)
    foreign = envelope(app, broker="amqp://elsewhere:5672/x")[1]
    run = waiting(runtime, "foreign", foreign)
    rescuer.look(1000.0)
    assert set(rescuer._foreign) == {run}
    record = runtime.store.load(run).record
    assert record is not None
    assert runtime.store.swap(run, record.version, record, due_in=60.0).done
    rescuer.look(1001.0)
    assert rescuer._foreign == {}
