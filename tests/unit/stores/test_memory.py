"""The store in memory under a clock of its own."""

from __future__ import annotations

from celery_graceful.model.run.record import Record, RunKey, State
from celery_graceful.stores.memory_store import MemoryStore
from celery_graceful.testing.store_contract.samples import listed

RUN = RunKey("t", "1")


def test_its_clock_can_be_given() -> None:
    now = [100.0]
    store = MemoryStore(lambda: now[0])
    store.swap(RUN, 0, Record(State.RUNNING, owner="me"), due_in=30)
    assert store.due(1) == []
    now[0] = 130.0
    assert [record.due_at for _, record in store.due(1)] == [130.0]
    store.swap(RUN, 1, Record(State.ENDED), keep=5)
    now[0] = 134.9
    assert len(listed(store, 1)) == 1
    now[0] = 135.0
    assert listed(store, 1) == []
    assert store.load(RUN).record is None
