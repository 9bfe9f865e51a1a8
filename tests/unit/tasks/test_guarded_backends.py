"""What result backends store for a task on behalf of an execution, and of a message received."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import states

from celery_graceful._celery.task import backend_guard
from celery_graceful._celery.task.delivery import Delivery, Stores

NO_OUTCOMES = ("PENDING", "RECEIVED", "STARTED", "RETRY", "PROGRESS", "OWN")
ENDS = ("SUCCESS", "FAILURE", "REVOKED", "IGNORED", "REJECTED")


@pytest.mark.parametrize(
    ("stores", "allowed"),
    [
        (Stores.ANY, {*NO_OUTCOMES, *ENDS}),
        (Stores.UNFINISHED, {*NO_OUTCOMES}),
        (Stores.REVOKED, {"REVOKED"}),
        (Stores.NONE, set()),
    ],
)
def test_what_an_execution_may_store(make_app: Any, stores: Stores, allowed: set[str]) -> None:
    backend = make_app().backend
    stored: list[str] = []
    backend.store_result = lambda task_id, result, state, **_: stored.append(state)
    backend_guard.guard(backend)
    backend_guard.guard(backend)
    for state in (*NO_OUTCOMES, *ENDS):
        delivery = Delivery(f"{stores}-{state}", None)
        delivery.stores = stores
        backend_guard.enlist(delivery)
        backend.store_result(delivery.task_id, {"by": "a receiver"}, state)
        backend_guard.withdraw(delivery)
    assert set(stored) == allowed
    assert len(stored) == len(allowed)


def test_receivers_are_told_of_the_last_state_that_is_no_end(make_app: Any) -> None:
    backend = make_app().backend
    backend_guard.guard(backend)
    delivery = Delivery("7", "worker@here")
    assert delivery.reported()[0] == states.STARTED
    backend_guard.enlist(delivery)
    backend.store_result("7", {"current": 1}, "IMPORTING")
    backend.store_result("7", "too early", states.SUCCESS)
    backend_guard.withdraw(delivery)
    assert delivery.reported() == ("IMPORTING", {"current": 1})
    delivery.stores = Stores.REVOKED
    assert delivery.reported()[0] == states.REVOKED


@pytest.mark.parametrize("end", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_message_that_was_received_replaces_no_outcome(make_app: Any, end: str) -> None:
    backend = make_app().backend
    result: Any = "done" if end == "SUCCESS" else ValueError("no")
    backend.store_result(end, result, end)

    class Request:
        id = end
        task = SimpleNamespace(backend=backend)

    request = Request()
    backend_guard.expect(request)
    for state in ("RECEIVED", "OWN", "IGNORED"):
        backend.store_result(end, None, state)
        assert backend.get_task_meta(end, cache=False)["status"] == end
    backend.store_result("other", None, "RECEIVED")
    assert backend.get_task_meta("other", cache=False)["status"] == "RECEIVED"
