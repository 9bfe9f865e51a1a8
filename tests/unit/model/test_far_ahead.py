"""A generation that no record explains: whoever wrote it takes the run from nobody."""

from __future__ import annotations

import pytest

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.decide import decide
from celery_graceful.model.run.record import MOST_GENERATIONS, Record, State
from celery_graceful.model.run.verdict import Policy, Verdict

NOW = 100.0


def admitted(state: State, ahead: int, due_at: float | None, owner: str | None = "w0") -> Verdict:
    record = Record(state, generation=3, fence=1, owner=owner, due_at=due_at, envelope=b"e")
    return decide(record, ev.Admit(3 + ahead, "w1"), NOW, Policy()).verdict


@pytest.mark.parametrize("ahead", [2, 3, 1000, MOST_GENERATIONS - 3])
@pytest.mark.parametrize("state", [State.RUNNING, State.FINISHING])
def test_a_live_run_stays_with_its_owner(state: State, ahead: int) -> None:
    assert admitted(state, ahead, NOW + 1) is Verdict.DROP


@pytest.mark.parametrize("state", [State.INTERRUPTED, State.RETRYING])
def test_a_message_on_its_way_is_not_made_older(state: State) -> None:
    assert admitted(state, 2, NOW + 1, None) is Verdict.DROP


@pytest.mark.parametrize("state", [State.RUNNING, State.INTERRUPTED])
def test_one_ahead_is_what_a_store_that_lost_a_write_explains(state: State) -> None:
    assert admitted(state, 1, NOW + 1) is Verdict.RESUME


@pytest.mark.parametrize("state", [State.RUNNING, State.INTERRUPTED])
def test_once_overdue_the_run_goes_on_with_whatever_message_comes(state: State) -> None:
    assert admitted(state, 1000, NOW) is Verdict.RESUME


def test_a_message_of_the_highest_generation_begins_a_run_that_can_be_handed_over() -> None:
    first = decide(None, ev.Admit(MOST_GENERATIONS, "w0"), NOW, Policy()).record
    assert first is not None
    left = decide(first, ev.HandOver(first.fence, None, 1, "shutdown"), NOW, Policy()).record
    assert left is not None
    again = decide(left, ev.Admit(left.generation, "w1"), NOW, Policy())
    assert again.verdict is Verdict.RESUME
