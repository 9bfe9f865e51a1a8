"""What stores share when they list records."""

from __future__ import annotations

from celery_graceful.model.record import Record, RunKey, State
from celery_graceful.stores.listing import joined

A, B = RunKey("t", "a"), RunKey("t", "b")
RUNNING, ENDED = Record(State.RUNNING), Record(State.ENDED)


def test_a_run_that_ended_between_two_looks_is_listed_once() -> None:
    assert joined(9, [(A, RUNNING)], [(A, ENDED), (B, ENDED)]) == [(A, RUNNING), (B, ENDED)]


def test_no_more_than_asked_for() -> None:
    assert joined(1, [(A, RUNNING)], [(B, ENDED)]) == [(A, RUNNING)]
    assert joined(0, [(A, RUNNING)], []) == []
