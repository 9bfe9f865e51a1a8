"""What an operator did stays in the record, whatever the run's owner writes after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from celery_graceful.execution.ending.last_error import last_error
from celery_graceful.model.run import events as ev
from celery_graceful.model.run import history
from celery_graceful.model.run.history import Action
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verdict import Policy
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runs.transition import transition
from celery_graceful.stores.memory_store import MemoryStore

RUN = RunKey("shop.import", "one")
BY = Action(1.0, "ann", "pause", "lunch")


class Counted:
    """A store that counts its calls."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._store, name)


@pytest.fixture
def ticket() -> Ticket:
    settings = SimpleNamespace(lease_ttl=30.0, run_retention=7200.0)
    runtime: Any = SimpleNamespace(
        store=Counted(MemoryStore()), policy=Policy(), settings=settings, observers=[]
    )
    message = ev.Admit(0, "w", envelope=b"message", at=1.0, fresh_fence=1, process=7)
    admitted = transition(runtime.store, RUN, message, runtime.policy, guess=True)
    assert admitted.record is not None
    return Ticket(runtime, RUN, admitted.record, "w")


def acted(ticket: Ticket, event: ev.Event) -> None:
    runtime = ticket.runtime
    assert transition(runtime.store, RUN, event, runtime.policy).record is not None


def found(ticket: Ticket) -> Record:
    record = ticket.runtime.store.load(RUN).record
    assert record is not None
    return record


@pytest.mark.parametrize("checkpoints", [0, 1, 2])
def test_what_was_asked_while_it_ran_is_still_there(ticket: Ticket, checkpoints: int) -> None:
    acted(ticket, ev.Pause(by=BY))
    for steps in range(checkpoints):
        assert ticket.flush("{}", steps).requested
    ticket.hand_over("{}", 2, "paused")
    assert found(ticket).state is State.PAUSED
    assert [a.who for a in history.actions(found(ticket).actions)] == ["ann"]


def test_what_was_withdrawn_is_there_too(ticket: Ticket) -> None:
    ticket.flush("{}", 1)
    acted(ticket, ev.Pause(by=BY))
    acted(ticket, ev.Resume(by=BY))
    assert ticket.flush("{}", 2).requested is None
    ticket.flush("{}", 3)
    ticket.finish("{}", 4, "result", Outcome.COMPLETED)
    ticket.end(Outcome.COMPLETED)
    assert len(history.actions(found(ticket).actions)) == 2


def test_who_nobody_disturbs_asks_the_store_for_nothing_more(ticket: Ticket) -> None:
    ticket.flush("{}", 1)
    ticket.end(Outcome.COMPLETED, "{}", 2, items=False)
    store: Any = ticket.runtime.store
    assert store.calls == ["swap", "checkpoint", "swap"]


# -- the last error --------------------------------------------------------------------------


def raised(message: str) -> Exception:
    try:
        raise OSError(message)
    except OSError as exc:
        return exc


def test_an_error_shows_its_task_and_no_secret() -> None:
    error = history.error(last_error(raised("postgres://ann:hunter2@db/shop is away")))
    assert error is not None
    assert (error.type, error.message) == ("OSError", "postgres://ann:***@db/shop is away")
    assert "in raised" in error.traceback
    assert "hunter2" not in error.traceback


def test_an_error_that_cannot_be_shown_is_named() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    error = history.error(last_error(Silent()))
    assert error is not None
    assert "Silent" in error.type
    assert "RuntimeError" in error.message


def test_it_waits_for_a_retry_with_its_error(ticket: Ticket) -> None:
    ticket.wait("{}", 3, "retry", 5.0, 1.0, last_error(raised("flaky")))
    error = history.error(found(ticket).error)
    assert found(ticket).state is State.RETRYING
    assert error is not None
    assert error.message == "flaky"
