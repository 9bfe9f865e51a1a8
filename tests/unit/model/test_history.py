"""What a run keeps of its past: bounded, readable again, and nothing of what is not its own."""

from __future__ import annotations

import json
from dataclasses import replace as changed
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_graceful.model.run import events as ev
from celery_graceful.model.run import history as past
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.executions import executions_of
from celery_graceful.model.run.history import Action, PastExecution, RunError
from celery_graceful.model.run.record import Outcome, Record, Request, State, replace
from celery_graceful.model.run.verdict import Policy
from celery_graceful.stores.codec import extra_of

POLICY = Policy()
FIRST = ev.Admit(0, "one", envelope=b"message", at=100.0, process=7, trace="t1", fresh_fence=1)
texts = st.text(max_size=60)
bounded = st.integers(0, 2**40)
moments = st.floats(0, 2e9)


def after(record: Record | None, event: ev.Event, now: float = 1000.0) -> Record:
    """The record that an event leaves, as a store keeps it."""
    decision = decide(record, event, now, POLICY)
    assert decision.record is not None, decision
    due_at = None if decision.due_in is None else now + decision.due_in
    ended_at = None if decision.keep is None else now
    return replace(decision.record, due_at=due_at, ended_at=ended_at)


def resumed(record: Record, owner: str, at: float) -> Record:
    admit = changed(FIRST, generation=record.generation, owner=owner, at=at, process=8, trace="")
    return after(record, admit)


# -- executions ------------------------------------------------------------------------------


def test_a_run_that_completes_at_once_writes_nothing_and_shows_its_execution() -> None:
    running = after(None, FIRST)
    (under_way,) = executions_of(running)
    assert under_way == PastExecution("one", 100.0, None, 0, None, "t1", 7)
    ended = after(running, ev.End(1, Outcome.COMPLETED, "c", 9, at=101.0))
    assert (ended.history, ended.actions, ended.error) == ("", "", "")
    assert executions_of(ended) == (PastExecution("one", 100.0, 1000.0, 9, "completed", "t1", 7),)


def test_each_way_out_ends_an_execution() -> None:
    run = after(None, FIRST)
    run = after(run, ev.HandOver(run.fence, "c", 10, "shutdown", at=110.0))
    run = resumed(run, "two", 120.0)
    run = after(run, ev.Wait(run.fence, "c", 15, "retry", at=130.0, error="[]"))
    run = resumed(run, "three", 140.0)
    run = after(run, ev.Release("three", run.generation, "signal 9"), now=150.0)
    run = resumed(run, "four", 160.0)
    run = after(replace(run, due_at=165.0, steps=20), ev.Rescue(), now=170.0)
    run = resumed(run, "five", 180.0)
    assert executions_of(run)[-1].ended is None
    run = after(run, ev.End(run.fence, Outcome.FAILED, "c", 22, at=190.0))
    assert [(e.worker, e.began, e.ended, e.items, e.reason) for e in executions_of(run)] == [
        ("one", 100.0, 110.0, 10, "shutdown"),
        ("two", 120.0, 130.0, 5, "retry"),
        ("three", 140.0, 150.0, 0, "signal 9"),
        ("four", 160.0, 170.0, 5, "its lease expired"),
        ("five", 180.0, 190.0, 2, "failed"),
    ]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ev.Kill(Outcome.FAILED, "hard time limit"), "hard time limit"),
        (ev.Rescue(), "its lease expired"),
        (ev.Cancel(), "its lease expired"),
        (ev.Pause(), "its lease expired"),
    ],
)
def test_what_ends_a_lost_execution_writes_it_down(event: ev.Event, reason: str) -> None:
    lost = replace(after(None, FIRST), due_at=900.0)
    (only,) = executions_of(after(lost, event))
    assert (only.worker, only.ended, only.reason) == ("one", 1000.0, reason)


@pytest.mark.parametrize("requested", [Request.CANCEL, Request.PAUSE])
def test_a_rescue_that_obeys_an_operator_writes_it_down(requested: Request) -> None:
    lost = replace(after(None, FIRST), due_at=900.0, requested=requested)
    (only,) = executions_of(after(lost, ev.Rescue()))
    assert only.worker == "one"


def test_an_execution_that_takes_its_run_back_goes_on() -> None:
    first = after(None, FIRST)
    run = after(first, ev.HandOver(1, "c", 10, "shutdown", at=110.0))
    run = after(run, ev.Reclaim(1, "one"))
    assert [e.ended for e in executions_of(run)] == [None]
    assert executions_of(run)[0].items == 10


def test_only_the_last_executions_are_kept() -> None:
    text = ""
    for number in range(70):
        text = past.with_execution(text, PastExecution("w", number, number + 1.0, number, "r"))
    assert [e.items for e in past.executions(text)] == list(range(20, 70))


# -- actions ---------------------------------------------------------------------------------


def test_what_an_operator_does_is_written_with_its_change() -> None:
    by = Action(5.0, "ann", "pause", "lunch")
    run = after(None, FIRST)
    run = after(run, ev.Pause(by=by))
    run = after(run, ev.Resume(by=changed(by, verb="resume", reason="")))
    run = after(run, ev.HandOver(run.fence, "c", 1, "shutdown"))
    run = after(run, ev.Cancel(by=changed(by, verb="cancel")))
    assert [(a.verb, a.reason, a.change) for a in past.actions(run.actions)] == [
        ("pause", "lunch", "running: at its next checkpoint"),
        ("resume", "", "running: pause withdrawn"),
        ("cancel", "lunch", "interrupted → cancelled"),
    ]


def test_what_changes_nothing_is_not_written() -> None:
    by = Action(5.0, "ann", "pause")
    asked = after(after(None, FIRST), ev.Pause(by=by))
    assert decide(asked, ev.Pause(by=by), 1000.0, POLICY).record is None


@pytest.mark.parametrize("outcome", Outcome)
def test_a_message_is_kept_to_be_run_again(outcome: Outcome) -> None:
    ended = after(after(None, FIRST), ev.End(1, outcome))
    assert ended.envelope == (b"" if outcome is Outcome.COMPLETED else b"message")


# -- bounds and strangers --------------------------------------------------------------------

HOSTILE = "\x1b[31m\x00\ud800☂" * 100_000


def test_nothing_is_longer_than_a_record_may_have_it() -> None:
    history = actions = ""
    for _ in range(60):
        one = PastExecution(HOSTILE, 1.0, 2.0, 3, HOSTILE, HOSTILE, 4)
        history = past.with_execution(history, one)
        actions = past.with_action(actions, Action(1.0, HOSTILE, HOSTILE, HOSTILE, HOSTILE))
    error = past.error_text(RunError(HOSTILE, HOSTILE, HOSTILE))
    assert past.executions(history)
    assert past.actions(actions)
    assert past.error(error) is not None
    record = Record(State.RUNNING, history=history, actions=actions, error=error)
    assert len(extra_of(record)) < 3 * past.MOST_BYTES + 1000


def test_of_an_error_the_message_and_the_end_of_its_traceback_are_kept() -> None:
    tail = "x" * 9000 + "line 7, in f"
    error = past.error(past.error_text(RunError("ValueError", "m" * 5000, tail)))
    assert error is not None
    assert (len(error.message.encode()), len(error.traceback.encode())) == (1024, 4096)
    assert error.traceback.endswith("line 7, in f")


@given(worker=texts, reason=texts, began=moments, took=st.floats(0, 1e6), items=bounded)
def test_an_execution_comes_back(
    worker: str, reason: str, began: float, took: float, items: int
) -> None:
    one = PastExecution(worker, began, began + took, items, reason, None, 3)
    (read,) = past.executions(past.with_execution("", one))
    assert (read.worker, read.items, read.reason, read.process) == (
        worker or None,
        items,
        reason,
        3,
    )
    assert (read.began, read.ended) == pytest.approx((began, began + took), abs=0.001)


WRONG: list[Any] = [
    1,
    "text",
    {},
    [1],
    [[]],
    [[1.0, 2.0, 3, "r", "w", 4]],
    [[1.0, 2.0, -3, "r", "w", 4, ""]],
    [[1e18, 2.0, 3, "r", "w", 4, ""]],
    [[1.0, 2.0, 3, None, "w", 4, ""]],
    [[1.0, 2.0, 3, "r", "w", True, ""]],
    [[1.0, 2.0, 3, "r", "w", 4, ""]] * 51,
]


@pytest.mark.parametrize("wrong", [*map(json.dumps, WRONG), "[", "x" * 40_000, "[" * 9000])
def test_what_a_stranger_wrote_is_refused_and_begins_anew(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"is no |is |has |char|nested|too long|a key"):
        past.executions(wrong)
    with pytest.raises(ValueError, match=r"is no |is |has |char|nested|too long|a key"):
        past.actions(wrong)
    with pytest.raises(ValueError, match=r"is no |is |has |char|nested|too long|a key"):
        past.error(wrong)
    assert executions_of(Record(State.PAUSED, history=wrong)) == ()
    one = PastExecution("w", 1.0, 2.0, 3, "r")
    assert past.executions(past.with_execution(wrong, one))[-1] == one
