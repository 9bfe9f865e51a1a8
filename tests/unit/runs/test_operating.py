"""The verbs of ``graceful.runs``, by one method for all of them; adjusting, releasing, deleting."""

from __future__ import annotations

import re
from typing import Any

import pytest

from celery_graceful import errors
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, Request, State
from celery_graceful.runs.operating.deletions import was_deleted
from tests.unit.runs.operated_shop import TASK, Shop


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.begin("a")
    return shop


def test_the_answer_names_the_states_and_what_undoes_it(shop: Shop) -> None:
    change = shop.runs.apply("pause", "a", reason="the disk is full", who="ann")
    assert (change.before.requested, change.run.requested) == (None, "pause")
    assert change.undo == "resume"
    (action,) = change.run.actions
    assert (action.who, action.verb, action.reason) == ("ann", "pause", "the disk is full")
    assert shop.runs.apply(change.undo, "a").run.requested is None


def test_a_stale_request_is_refused(shop: Shop) -> None:
    with pytest.raises(errors.RunRefused, match="is running by now, and was to be paused"):
        shop.runs.apply("cancel", "a", expected_state="paused")
    assert shop.runs.apply("cancel", "a", expected_state="running").run.requested == "cancel"


def test_a_state_that_changes_in_between_is_noticed(shop: Shop) -> None:
    """Between the look and the write, where the event itself says which state it is for."""
    shop.leave("a")
    shop.apply("a", ev.Cancel(expected="running"))
    assert shop.record("a").state is State.INTERRUPTED
    shop.apply("a", ev.Cancel(expected="interrupted"))
    assert shop.record("a").outcome is Outcome.CANCELLED


def test_a_refusal_says_why(shop: Shop) -> None:
    with pytest.raises(errors.RunRefused, match=re.escape("resume does not apply to shop.import")):
        shop.runs.apply("resume", "a")
    with pytest.raises(errors.RunRefused, match="has no quarantined items"):
        shop.runs.apply("replay", "a")


@pytest.mark.parametrize(
    ("verb", "arguments", "kind", "words"),
    [
        ("explode", {}, ValueError, "'explode' is not a valid Verb"),
        ("pause", {"fast": True}, TypeError, "pause has no argument 'fast'"),
        ("rewind", {}, TypeError, "rewind needs the argument 'cursor'"),
        ("adjust", {}, ValueError, "nothing is given to change; give one of checkpoint_interval"),
        ("adjust", {"speed": 3}, TypeError, "adjust has no argument 'speed'; it has"),
        ("adjust", {"batch_size": -1}, ValueError, "batch_size: -1 is no number of items"),
        ("adjust", {"priority": 256}, ValueError, "priority: 256 is none; write 0 to 255"),
        ("adjust", {"checkpoint_interval": "soon"}, ValueError, "'soon' is not a duration"),
        ("adjust", {"queue": "x" * 300}, ValueError, "is no name of a queue"),
        ("replay", {"all": True}, TypeError, "replay has no argument 'all'"),
    ],
)
def test_what_cannot_be_asked(
    shop: Shop, verb: str, arguments: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=re.escape(words)):
        shop.runs.apply(verb, "a", **arguments)
    assert shop.runs.get("a").actions == ()


# -- adjust ----------------------------------------------------------------------------------


def test_a_running_run_is_adjusted_by_its_worker(shop: Shop) -> None:
    change = shop.runs.adjust("a", checkpoint_interval="5s", batch_size=50, who="ann")
    assert (change.verdict, change.why) == ("asked", "at its next checkpoint")
    assert (change.undo, change.undo_arguments) == (
        "adjust",
        {"checkpoint_interval": 0.0, "batch_size": 0},
    )
    assert change.run.requested is None, "nothing is to become of it"
    assert shop.record("a").requested is Request.ADJUST
    *_, action = change.run.actions
    assert action.change == "checkpoint_interval 5.0, batch_size 50"
    back = shop.runs.apply("adjust", "a", **change.undo_arguments)
    assert shop.record("a").adjusted == ""
    assert back.undo_arguments == {"checkpoint_interval": 5.0, "batch_size": 50}


def test_a_pause_that_is_withdrawn_keeps_what_was_adjusted(shop: Shop) -> None:
    shop.runs.adjust("a", batch_size=50)
    shop.runs.pause("a")
    assert shop.record("a").requested is Request.PAUSE
    shop.runs.resume("a")
    assert shop.record("a").requested is Request.ADJUST


def test_the_next_message_goes_another_way(shop: Shop) -> None:
    shop.runs.adjust("a", queue="bulk", priority=3)
    assert shop.runs.get("a").queue == "bulk"
    shop.leave("a")
    shop.runs.resend("a")
    (message,) = shop.queued("bulk")
    assert message.properties["priority"] == 3
    assert shop.queued() == []


def test_a_waiting_run_is_sent_again_by_its_new_way(shop: Shop) -> None:
    shop.leave("a")
    shop.runs.resend("a")
    before = shop.record("a").generation
    change = shop.runs.adjust("a", queue="bulk")
    assert change.undo_arguments == {"queue": "celery"}
    (old,), (new,) = shop.queued(), shop.queued("bulk")
    assert old.headers["graceful_generation"] == before
    assert new.headers["graceful_generation"] == before + 1
    shop.apply("a", ev.Admit(before, "w2/abc"))
    assert shop.record("a").owner is None, "the message in the old queue is dropped"
    shop.runs.adjust("a", batch_size=5)
    assert shop.queued("bulk") == [], "only another way is a reason to send it again"


# -- release ---------------------------------------------------------------------------------


def test_a_stuck_owner_is_fenced_off(shop: Shop) -> None:
    stuck = shop.record("a")
    change = shop.runs.release("a", reason="w1 hangs")
    assert (change.run.state, change.run.worker, change.undo) == ("interrupted", None, None)
    assert "may run twice" in change.note
    store, key = shop.runtime.store, shop.key("a")
    assert not store.checkpoint(key, stuck.fence, "{}", 43, due_in=30).accepted
    shop.apply("a", ev.Admit(stuck.generation, "w1/abc", redelivered=True))
    assert shop.record("a").owner is None, "its own message is dropped"
    assert shop.admit("a").owner == "w1/abc"
    assert shop.record("a").crashes == 0


@pytest.mark.parametrize(("asked", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_what_was_asked_of_a_stuck_owner_is_done(shop: Shop, asked: str, state: str) -> None:
    shop.runs.apply(asked, "a")
    assert shop.runs.release("a").run.state == state
    assert shop.seen("a") == ("REVOKED" if asked == "cancel" else "PENDING")


# -- delete ----------------------------------------------------------------------------------


def test_a_deleted_run_is_forgotten_and_its_messages_are_dropped(shop: Shop) -> None:
    run = shop.record("a")
    assert shop.runtime.store.quarantine(shop.key("a"), run.fence, 3, "{}", keep=60)
    with pytest.raises(errors.RunRefused, match="Cancel it first"):
        shop.runs.delete("a")
    shop.fail("a")
    change = shop.runs.delete("a", reason="personal data")
    assert (change.before.state, change.why, change.undo) == ("failed", "deleted", None)
    with pytest.raises(errors.UnknownRun):
        shop.runs.get("a")
    assert shop.runtime.store.count_quarantined(shop.key("a"), -1, 9) == 0
    assert was_deleted(shop.runtime, shop.key("a"), 0.0)
    assert shop.runs.list().items == ()


def test_deleting_a_paused_run_tells_its_callers(shop: Shop) -> None:
    shop.leave("a")
    shop.runs.pause("a")
    shop.runs.delete("a")
    assert shop.seen("a") == "REVOKED"
    assert shop.runs.list().items == ()


# -- many ------------------------------------------------------------------------------------


def test_many_runs_are_changed_and_each_has_its_result(shop: Shop) -> None:
    for name in ("b", "c", "d"):
        shop.begin(name)
    shop.runs.pause("c")
    shop.fail("d")
    results = list(shop.runs.apply_all("pause", state="running", reason="disk", who="ann"))
    assert [each.run.id for each in results] == ["a", "b", "c"]
    assert [each.refused for each in results] == [""] * 3
    assert all(shop.runs.get(name).requested == "pause" for name in "abc")
    several = list(shop.runs.apply_all("retry", task=TASK, most=4))
    assert [bool(each.change) for each in several].count(True) == 1
    assert "It has not ended" in several[0].refused


def test_every_run_is_only_meant_when_it_is_said(shop: Shop) -> None:
    with pytest.raises(ValueError, match="give at least one filter"):
        shop.runs.apply_all("cancel")
    with pytest.raises(ValueError, match="give at least one filter"):
        shop.runs.apply_all("cancel", text="", state=None)


def test_a_run_that_has_changed_since_it_was_listed_is_left_alone(shop: Shop) -> None:
    shop.begin("b")
    results = shop.runs.apply_all("cancel", state="running")
    next(results)
    shop.leave("b")
    (last,) = results
    assert "is interrupted by now, and was to be running" in last.refused
    assert shop.runs.get("b").state == "interrupted"
