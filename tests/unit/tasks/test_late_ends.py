"""Ends of runs that the store hears of later."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.errors import StoreError, StoreUnavailable
from celery_graceful.execution.ending import late_ends
from celery_graceful.model.run.record import Outcome


class Store:
    """What is told of ends; away until it is back."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.ended: list[str] = []

    def close(self, execution: Any, outcome: Outcome) -> None:
        if execution.ticket.patience == late_ends.PATIENCE and not self.back.is_set():
            raise StoreUnavailable("away")
        assert self.back.wait(20)
        self.ended.append(execution.ticket.run)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr("celery_graceful.execution.ending.close", found.close)
    monkeypatch.setattr(late_ends, "_may_wait", lambda execution: execution.task.atomic is None)
    return found


def execution(run: str, atomic: Any = None) -> Any:
    ticket = SimpleNamespace(run=run, patience=30.0)
    return SimpleNamespace(key=run, ticket=ticket, task=SimpleNamespace(atomic=atomic))


def test_the_slot_does_not_wait_and_the_store_hears_of_each(store: Store) -> None:
    runs = [execution(f"r{number}") for number in range(3)]
    for run in runs:
        late_ends.close(run, Outcome.COMPLETED)
    assert store.ended == []
    store.back.set()
    late_ends.wait_for_all()
    assert store.ended == ["r0", "r1", "r2"]
    assert {run.ticket.patience for run in runs} == {30.0}


def test_while_all_is_well_it_is_told_at_once(store: Store) -> None:
    store.back.set()
    late_ends.close(execution("r"), Outcome.FAILED)
    assert store.ended == ["r"]


def test_an_atomic_run_waits_for_it(store: Store) -> None:
    done = threading.Thread(
        target=late_ends.close, args=(execution("r", object()), Outcome.COMPLETED)
    )
    done.start()
    assert store.ended == []
    store.back.set()
    done.join(20)
    assert store.ended == ["r"]


def test_one_that_is_refused_keeps_no_other_from_being_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = store.close

    def close(execution: Any, outcome: Outcome) -> None:
        told(execution, outcome)
        if execution.ticket.run == "bad":
            raise StoreError("refused")

    monkeypatch.setattr("celery_graceful.execution.ending.close", close)
    for run in ("bad", "good"):
        late_ends.close(execution(run), Outcome.COMPLETED)
    store.back.set()
    late_ends.wait_for_all()
    assert store.ended == ["bad", "good"]
    assert "bad is done, but the store does not know: StoreError('refused')" in caplog.text
