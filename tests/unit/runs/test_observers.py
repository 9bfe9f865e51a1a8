"""Every change of a run passes the observers: once, as it was written, with who made it."""

from __future__ import annotations

import ast
import logging
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

import celery_graceful
from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import TABLE, decide
from celery_graceful.model.run.record import Outcome, Record, Request, RunKey, State, replace
from celery_graceful.model.run.verdict import Policy
from celery_graceful.runs.observers import Observed
from celery_graceful.runs.ticket import Ticket
from celery_graceful.runs.transition import Attempt, transition
from celery_graceful.runtime import runtime_of
from celery_graceful.stores.base import Found, Swapped
from celery_graceful.stores.memory_store import MemoryStore

RUN = RunKey("shop.import", "8f6f2c52")
POLICY = Policy()
RECORD = Record(State.RUNNING, generation=1, fence=7, version=7, owner="w1", envelope=b"message")
EVENTS: dict[type[ev.Event], ev.Event] = {
    type(event): event
    for event in (
        ev.Admit(2, "w2", envelope=b"message", fresh_fence=9),
        ev.Enqueue(b"message", "{}", 9),
        ev.HandOver(7, "{}", 3, "shutdown"),
        ev.Wait(7, "{}", 3, "retry", 60.0),
        ev.Reclaim(7, "w1"),
        ev.Restore(7, RECORD, 9),
        ev.Finish(7, "{}", 3, "result", Outcome.COMPLETED),
        ev.End(7, Outcome.COMPLETED),
        ev.Kill(Outcome.CANCELLED, "revoked", 1),
        ev.Release("w1", 1),
        ev.Rescue(),
        ev.MarkUnroutable(1, "no queue takes it"),
        ev.Cancel(),
        ev.Pause(),
        ev.Resume(),
        ev.Resend(),
        ev.NoteAdjusted(7),
        ev.Retry(1, b"message", rewinds=True, checkpoint="{}"),
        ev.Adjust(1, '{"batch_size":5}', b"message"),
        ev.Evict(),
        ev.Replay(),
        ev.Forget(),
    )
}
CASES = [(state, kind) for state, kind in TABLE if (state, kind) != (State.PAUSED, ev.Admit)]


class Troubled(MemoryStore):
    """A store with a record, and trouble at the first write."""

    def __init__(self, record: Record | None, trouble: str) -> None:
        super().__init__()
        self.trouble = trouble
        self.writes = 0
        if record is not None:
            self.put(record)

    def put(self, record: Record, expected: int = 0) -> None:
        due_in = -1.0 if record.owner is None else 60.0
        assert super().swap(RUN, expected, record, due_in=due_in).done

    def stands(self) -> Record | None:
        return super().load(RUN).record

    def swap(self, run: RunKey, expected: int, record: Record, **when: Any) -> Swapped:
        self.writes += 1
        if self.trouble == "conflict" and self.writes == 1:
            there = self.stands()
            other = replace(there or record, stamp="another", last_crash="of another writer")
            self.put(other, expected)
        if self.trouble == "away" and self.writes == 1:
            raise StoreUnavailable("it is away")
        swapped = super().swap(run, expected, record, **when)
        if self.trouble == "lost answer" and self.writes == 1:
            raise StoreUnavailable("the answer was lost")
        return swapped

    def load(self, run: RunKey) -> Found:
        if self.trouble == "lost answer" and self.writes == 1:
            self.writes += 1
            raise StoreUnavailable("so was the next one")
        return super().load(run)


def begun(state: State | None, kind: type[ev.Event]) -> Record | None:
    """A record that the event applies to."""
    if state is None:
        return None
    record = replace(RECORD, state=state)
    if state not in (State.RUNNING, State.FINISHING):
        record = replace(record, owner=None)
    if kind is ev.Rescue:
        record = replace(record, owner=None)  # due at once, in this store
    if kind is ev.Resume and state is State.RUNNING:
        record = replace(record, requested=Request.PAUSE)
    if state is State.ENDED:
        record = replace(record, outcome=Outcome.FAILED)
    return record


@pytest.mark.parametrize("trouble", ["none", "conflict", "away", "lost answer"])
@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize(("state", "kind"), CASES)
def test_each_change_is_observed_once(
    state: State | None,
    kind: type[ev.Event],
    guess: bool,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    store, seen = Troubled(begun(state, kind), trouble), list[Observed]()
    event = EVENTS[kind]
    if (state, kind) == (State.ENDED, ev.Admit):
        event = replaced(event, generation=0)  # a re-used id
    before = store.stands()
    done = transition(
        store,
        RUN,
        event,
        POLICY,
        known=before,
        guess=guess,
        patience=30,
        observers=[seen.append],
        who="w2",
    )
    if trouble == "conflict" and state is None:
        assert done.decision.record is None, "another was quicker to begin"
        assert seen == []
        return
    (change,) = seen
    assert (change.run, change.event, change.who) == (RUN, event, "w2")
    assert change.after == done.record
    assert store.stands() == (None if kind is ev.Forget else done.record)
    assert (change.verdict, change.why) == done.decision[:2]
    assert change.after.version > (change.before.version if change.before else 0)
    if trouble == "conflict":
        assert change.before is not None
        assert change.before.last_crash == "of another writer"
    else:
        assert change.before == before


def replaced(event: ev.Event, **changes: Any) -> ev.Event:
    return type(event)(**{**{name: getattr(event, name) for name in event.__slots__}, **changes})


def test_every_event_of_the_table_is_tried() -> None:
    assert {kind for _, kind in TABLE} == set(EVENTS)


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("state", [None, *State])
def test_what_changes_nothing_is_not_observed(state: State | None, kind: type[ev.Event]) -> None:
    record, seen = begun(state, ev.Cancel), list[Observed]()
    store = Troubled(record, "none")
    before = store.stands()
    found = MemoryStore.load(store, RUN)
    decision = decide(found.record, EVENTS[kind], found.now, POLICY)
    transition(store, RUN, EVENTS[kind], POLICY, observers=[seen.append])
    assert len(seen) == (decision.record is not None) == (store.stands() != before)


@pytest.mark.parametrize("trouble", ["none", "away", "lost answer"])
def test_a_record_that_is_written_back_is_observed_once(trouble: str) -> None:
    store, seen = Troubled(None, trouble), list[Observed]()
    attempt = Attempt(store, RUN, EVENTS[ev.Restore], POLICY, [seen.append], "w1")
    for _ in range(3):
        try:
            done = attempt(None, True)
            break
        except StoreUnavailable:
            assert seen == []
    (change,) = seen
    assert (change.before, change.after, change.who) == (None, done.record, "w1")


def test_an_observer_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store, seen = Troubled(None, "none"), list[Observed]()

    def fail(change: Observed) -> None:
        raise ValueError("no room left for metrics")

    with caplog.at_level(logging.ERROR):
        transition(store, RUN, EVENTS[ev.Admit], POLICY, observers=[fail, seen.append])
    assert len(seen) == 1
    assert f"{RUN}: observer" in caplog.text
    assert "no room left for metrics" in caplog.text


def test_a_soft_time_limit_within_an_observer_reaches_the_task() -> None:
    def interrupted(change: Observed) -> None:
        raise SoftTimeLimitExceeded()

    store = Troubled(None, "none")
    with pytest.raises(SoftTimeLimitExceeded):
        transition(store, RUN, EVENTS[ev.Admit], POLICY, observers=[interrupted])


def test_an_execution_is_observed_under_its_workers_name() -> None:
    app = Celery("observed", broker="memory://", set_as_current=False)
    app.conf.update(graceful_store="memory://", graceful_namespace=uuid.uuid4().hex)
    runtime, seen = runtime_of(app), list[Observed]()
    runtime.observers.append(seen.append)
    done = transition(runtime.store, RUN, ev.Admit(0, "w1", envelope=b"m"), runtime.policy)
    assert done.record is not None
    ticket = Ticket(runtime, RUN, done.record, "w1")
    ticket.flush("{}", 1)
    assert seen == [], "a checkpoint is no transition"
    ticket.hand_over("{}", 1, "shutdown")
    assert [(type(c.event), c.who, c.after.state) for c in seen] == [
        (ev.HandOver, "w1", State.INTERRUPTED)
    ]


def test_whoever_changes_a_run_names_observers_and_itself() -> None:
    """Each call within the package; only :mod:`.transition` writes records of runs."""
    package = Path(celery_graceful.__file__).parent
    calls = 0
    for file in package.rglob("*.py"):
        place = file.relative_to(package).as_posix()
        if place == "runs/transition.py" or place.startswith(("stores/", "testing/")):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            assert getattr(node.func, "attr", "") != "swap", f"{place}:{node.lineno}"
            names = {getattr(each, "id", "") for each in (node.func, *node.args)}
            if names & {"transition", "Attempt"}:
                calls += 1
                keywords = {keyword.arg for keyword in node.keywords}
                assert {"observers", "who"} <= keywords, f"{place}:{node.lineno}"
    assert calls >= 7
