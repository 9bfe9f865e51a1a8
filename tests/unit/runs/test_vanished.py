"""A record that vanishes while its run is under way: what its owner's ticket does about it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verbs import Verb
from celery_graceful.model.run.verdict import Verdict
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.lost.vanished import fresh_fence
from celery_graceful.runs.operating.changes import Asked
from celery_graceful.runs.operating.deletions import delete
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime, runtime_of
from celery_graceful.stores.memory_store import MemoryStore

RUN = RunKey("task", "id")


def saved(cursor: int) -> str:
    return encode(Checkpoint(cursor=cursor, steps=cursor))


@pytest.fixture
def runtime() -> Runtime:
    app = Celery("vanishing", broker="memory://", set_as_current=False)
    app.conf.graceful_store = "memory://"
    app.conf.graceful_namespace = uuid.uuid4().hex
    return runtime_of(app)


@pytest.fixture
def ticket(runtime: Runtime) -> Ticket:
    admit = ev.Admit(0, "w1", envelope=b"message", at=5.0, fresh_fence=fresh_fence(5.0))
    done = transition(runtime.store, RUN, admit, runtime.policy)
    assert done.record is not None
    ticket = Ticket(runtime, RUN, done.record, "w1")
    ticket.patience = 0.0
    ticket.flush(saved(3), 3)
    return ticket


def vanish(runtime: Runtime) -> None:
    rows: Any = runtime.store
    rows._rows.clear()


def stands(runtime: Runtime) -> Record:
    record = runtime.store.load(RUN).record
    assert record is not None
    return record


WAYS: dict[str, tuple[Callable[[Ticket], object], State]] = {
    "flush": (lambda t: t.flush(saved(4), 4), State.RUNNING),
    "save": (lambda t: t.save(saved(4), 4), State.RUNNING),
    "stands": (lambda t: t.stands(), State.RUNNING),
    "quarantined": (lambda t: t.quarantine(3, "entry"), State.RUNNING),
    "hand over": (lambda t: t.hand_over(saved(4), 4, "shutdown"), State.INTERRUPTED),
    "give back": (
        lambda t: t.hand_over(saved(4), 4, "shutdown", successor=False),
        State.INTERRUPTED,
    ),
    "retry": (lambda t: t.wait(saved(4), 4, "retry", 60.0), State.RETRYING),
    "finish": (lambda t: t.finish(saved(4), 4, "result", Outcome.COMPLETED), State.FINISHING),
    "end": (lambda t: t.end(Outcome.COMPLETED, saved(4), 4), State.ENDED),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_the_owner_writes_next_brings_the_record_back(
    runtime: Runtime, ticket: Ticket, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    vanish(runtime)
    write, state = WAYS[way]
    answer = write(ticket)
    assert getattr(answer, "verdict", Verdict.DONE) is not Verdict.REFUSED
    assert getattr(answer, "accepted", answer)
    record = stands(runtime)
    assert (record.state, record.started_at, record.fence) == (state, 5.0, ticket.fence)
    assert state is State.ENDED or record.envelope == b"message"
    [warning] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "task[id]: its record vanished from the store (FLUSHALL" in warning.getMessage()
    assert "last saved: cursor 3, 3 items done" in warning.getMessage()


def test_a_run_that_an_operator_has_deleted_is_not_written_back(
    runtime: Runtime, ticket: Ticket
) -> None:
    """Its owner stood still, and it was taken from it, cancelled and deleted meanwhile."""
    for event in (ev.Evict(), ev.Cancel()):
        transition(runtime.store, RUN, event, runtime.policy)
    at = runtime.store.load(RUN)
    assert at.record is not None
    delete(runtime, Found(RUN, at.record, at.now), Asked(Verb.DELETE, "ann"))
    assert not ticket.flush(saved(4), 4).accepted
    assert ticket.finish(saved(4), 4, "result", Outcome.COMPLETED).verdict is Verdict.REFUSED
    assert runtime.store.load(RUN).record is None


def test_a_refused_publish_after_the_record_vanished(runtime: Runtime, ticket: Ticket) -> None:
    ticket.hand_over(saved(4), 4, "shutdown")
    vanish(runtime)
    assert ticket.reclaim().verdict is Verdict.RESUME
    assert (stands(runtime).state, stands(runtime).checkpoint) == (State.RUNNING, saved(4))


def test_a_saved_result_is_written_back_with_the_record(runtime: Runtime, ticket: Ticket) -> None:
    ticket.finish(saved(4), 4, "result", Outcome.COMPLETED)
    vanish(runtime)
    assert ticket.end(Outcome.COMPLETED).verdict is Verdict.DONE
    assert (stands(runtime).outcome, stands(runtime).steps) == (Outcome.COMPLETED, 4)


def test_another_fence_is_another_answer(runtime: Runtime, ticket: Ticket) -> None:
    """The message was delivered again before the owner noticed: one of the two has the run."""
    vanish(runtime)
    admit = ev.Admit(0, "w2", redelivered=True, envelope=b"message", fresh_fence=fresh_fence(9.0))
    transition(runtime.store, RUN, admit, runtime.policy)
    assert not ticket.flush(saved(4), 4).accepted
    assert ticket.finish(saved(4), 4, "result", Outcome.COMPLETED).verdict is Verdict.REFUSED
    assert stands(runtime).owner == "w2"


def test_an_answer_that_is_lost_on_its_way(
    runtime: Runtime, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is there, under the new fence, which the owner has not heard of yet."""
    vanish(runtime)
    swap = MemoryStore.swap

    def swap_and_lose(self: Any, *args: Any, **options: Any) -> Any:
        swap(self, *args, **options)
        raise StoreUnavailable("the answer was lost")

    monkeypatch.setattr(MemoryStore, "swap", swap_and_lose)
    with pytest.raises(StoreUnavailable):
        ticket.flush(saved(4), 4)
    monkeypatch.undo()
    assert ticket.flush(saved(4), 4).accepted
    assert stands(runtime).fence == ticket.fence


def test_who_was_away_for_as_long_as_an_ended_run_is_remembered_stops(
    runtime: Runtime, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have ended and been forgotten meanwhile."""
    vanish(runtime)
    settings = runtime.settings
    later = ticket._accepted_at + settings.run_retention + settings.lease_ttl + 1
    monkeypatch.setattr("celery_graceful.runs.ticket.uptime", lambda: later)
    assert not ticket.flush(saved(4), 4).accepted
    assert ticket.end(Outcome.COMPLETED).verdict is Verdict.REFUSED
    assert runtime.store.load(RUN).record is None
    assert "no record" in ticket.refused


def test_it_vanishes_again_and_again(runtime: Runtime, ticket: Ticket) -> None:
    for cursor in range(4, 10):
        vanish(runtime)
        assert ticket.flush(saved(cursor), cursor).accepted
    assert stands(runtime).checkpoint == saved(9)
