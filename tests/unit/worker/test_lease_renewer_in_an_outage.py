"""Celery's decisions in the main process wait for no store that is known to be away."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.worker.lease_renewer import LeaseRenewer

RUN = RunKey("task", "id")


class Outage:
    """The store is away, and whoever calls it counts as having waited."""

    def __init__(self) -> None:
        self.known = True

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the main thread has asked a store that is away: {name}")


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.update(graceful_store=f"memory://{uuid4()}")
        yield runtime_of(app)


def test_what_it_decides_is_told_later(runtime: Runtime) -> None:
    outage = Outage()
    runtime.__dict__["store"] = outage
    flag: Any = SimpleNamespace(worker="w1", raised=False, released=False)
    lease_renewer = LeaseRenewer(runtime, flag, lambda: None, store_is_away=lambda: outage.known)
    assert lease_renewer.killed(*RUN, "failed", "hard time limit", 0)
    assert not lease_renewer.is_run(*RUN, 0, False)
    assert lease_renewer.is_run(*RUN, 1, False), "nothing but a run has a generation"
    store = MemoryStore()
    assert store.swap(RUN, 0, Record(State.RUNNING, fence=1, owner="w1", envelope=b"x")).done
    lease_renewer._settle_doubts(store, 0.0)
    record = store.load(RUN).record
    assert record is not None
    assert record.outcome is Outcome.FAILED
