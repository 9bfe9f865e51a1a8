"""Retrying, rewinding and forking: what continues where, by which message, what callers see."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from celery import chain, chord, group

from celery_graceful import errors
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import Outcome
from tests.unit.runs.operated_shop import TASK, WHEN, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


def embedded(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.body)[2]
    return found


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_run_that_has_ended_continues_with_its_carry(shop: Shop, how: str) -> None:
    began = shop.begin("a", retries=3)
    if how == "failed":
        shop.fail("a")
    else:
        shop.leave("a")
        shop.runs.cancel("a")
    assert shop.seen("a") in ("FAILURE", "REVOKED")
    change = shop.runs.retry("a", reason="the row is fixed", who="ann")
    assert (change.before.state, change.run.state, change.undo) == (how, "interrupted", "cancel")
    assert shop.seen("a") == "RETRY", "so callers wait again"
    record = shop.record("a")
    assert (record.checkpoint, record.outcome, record.ended_at) == (began.checkpoint, None, None)
    assert record.generation > began.generation
    assert record.fence > began.fence
    (message,) = shop.queued()
    assert (message.headers["id"], message.headers["retries"]) == ("a", 0)
    assert message.headers["graceful_checkpoint"] == began.checkpoint
    *_, action = change.run.actions
    assert (action.verb, action.who, action.reason) == ("retry", "ann", "the row is fixed")
    assert action.change == f"{how} → interrupted"


def test_what_ends_again_can_be_retried_again(shop: Shop) -> None:
    shop.begin("a")
    for _ in range(3):
        shop.fail("a")
        shop.runs.retry("a")
        shop.admit("a")
    assert shop.runs.get("a").state == "running"
    run = shop.runs.get("a")
    assert [action.verb for action in run.actions] == ["retry"] * 3
    assert [each.reason for each in run.executions] == ["failed"] * 3 + [None]


def test_of_two_retries_at_once_one_counts(shop: Shop) -> None:
    shop.begin("a")
    shop.fail("a")
    shop.runs.retry("a")
    with pytest.raises(errors.RunRefused, match="It has not ended"):
        shop.runs.retry("a")
    assert len(shop.queued()) == 1


def test_an_old_message_of_a_retried_run_is_dropped(shop: Shop) -> None:
    began = shop.begin("a")
    shop.fail("a")
    shop.runs.retry("a")
    late = ev.Admit(began.generation, "w2/abc", redelivered=True)
    shop.apply("a", late)
    assert shop.record("a").owner is None


@pytest.mark.parametrize(
    ("old", "given", "kept"),
    [
        (41, 7, 7),
        ((3, "x"), [3, "y"], (3, "y")),
        ((WHEN, 3), ["2026-11-30T13:00:00", 4], (datetime(2026, 11, 30, 13), 4)),
        (Decimal("1.5"), "2.5", Decimal("2.5")),
        ("x", "y", "y"),
        (None, 7, 7),
    ],
)
def test_a_cursor_of_the_kind_it_had(shop: Shop, old: Any, given: Any, kept: Any) -> None:
    shop.begin("a", cursor=old)
    shop.fail("a")
    change = shop.runs.retry("a", cursor=given)
    assert (change.run.cursor, change.run.carry, change.run.total) == (kept, {"rows": 42}, None)
    assert change.run.steps == 42, "items count on"
    saved = decode(shop.record("a").checkpoint or "")
    assert (saved.cursor, type(saved.cursor)) == (kept, type(kept))


def test_a_cursor_that_is_none(shop: Shop) -> None:
    shop.begin("a", cursor=WHEN)
    shop.fail("a")
    with pytest.raises(errors.CursorError, match="the run's cursor is a datetime, and 'soon' is"):
        shop.runs.retry("a", cursor="soon")
    with pytest.raises(TypeError, match="carry is for a retry from a cursor"):
        shop.runs.retry("a", carry={})
    assert shop.runs.get("a").state == "failed"


def test_back_to_the_beginning(shop: Shop) -> None:
    shop.begin("a")
    shop.fail("a")
    run = shop.runs.retry("a", cursor=None).run
    assert (run.steps, run.cursor, run.carry) == (0, None, None)


def test_a_paused_run_is_rewound_with_another_carry(shop: Shop) -> None:
    shop.begin("a")
    shop.leave("a")
    shop.runs.pause("a")
    with pytest.raises(errors.RunRefused, match="Resume it, or retry it from a cursor"):
        shop.runs.retry("a")
    change = shop.runs.retry("a", cursor=20, carry={"rows": 20})
    assert (change.before.state, change.run.state, change.undo) == (
        "paused",
        "interrupted",
        "pause",
    )
    assert (change.run.cursor, change.run.carry) == (20, {"rows": 20})
    assert shop.record("a").after == shop.record("a").fence - 1, "an atomic task's row is outdated"


def test_a_completed_run_is_not_run_again(shop: Shop) -> None:
    began = shop.begin("a")
    shop.apply("a", ev.End(began.fence, Outcome.COMPLETED))
    for verb in ("retry", "fork"):
        with pytest.raises(errors.RunRefused, match=r"It has completed.* Start a new run"):
            shop.runs.apply(verb, "a")


# -- callbacks -------------------------------------------------------------------------------


def of_a_canvas(shop: Shop, canvas: Any) -> dict[str, Any]:
    """What a run's message has embedded, for a canvas of which it is the first task."""
    signature = canvas(shop)
    signature.apply_async()
    message = next(m for m in shop.queued() if m.headers["id"] == "a")
    return embedded(message)


def test_link_and_errback_stay(shop: Shop) -> None:
    after = shop.app.tasks["shop.after"]
    shop.begin("a", link=after.s(), link_error=after.s())
    shop.fail("a")
    shop.runs.retry("a")
    (message,) = shop.queued()
    found = embedded(message)
    assert (len(found["callbacks"]), len(found["errbacks"])) == (1, 1)


def test_a_chord_that_has_counted_the_run_is_left(shop: Shop) -> None:
    after = shop.app.tasks["shop.after"]
    shop.begin("a", chord=after.s(), group_id="g")
    shop.fail("a")
    change = shop.runs.retry("a")
    assert "was part of a chord, which has counted its end" in change.note
    (message,) = shop.queued()
    assert embedded(message)["chord"] is None
    assert message.headers["group"] == "g", "its result stays one of the group"


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_the_rest_of_a_chain_in_a_chord(shop: Shop, how: str) -> None:
    """Celery counts it when a task of the chain fails, and not when one is revoked."""
    after = shop.app.tasks["shop.after"]
    rest: Any = after.s()
    rest.set(chord=dict(after.s()), task_id="b")
    shop.begin("a", chain=[dict(rest)])
    if how == "failed":
        shop.fail("a")
    else:
        shop.leave("a")
        shop.runs.cancel("a")
    shop.runs.retry("a")
    (message,) = shop.queued()
    (kept,) = embedded(message)["chain"]
    assert kept["options"]["task_id"] == "b"
    assert ("chord" in kept["options"]) is (how == "cancelled")


# -- forks -----------------------------------------------------------------------------------


def test_a_fork_begins_where_the_run_is(shop: Shop) -> None:
    after = shop.app.tasks["shop.after"]
    shop.begin("a", link=after.s(), chord=after.s(), group_id="g")
    change = shop.runs.fork("a", who="ann", reason="try the new code")
    assert (change.undo, change.run.state, change.note) == (
        "cancel",
        "running",
        f"{TASK}[a] continues beside it",
    )
    assert change.sent is not None
    new = shop.runs.get(change.sent)
    assert (new.state, new.steps, new.total, new.cursor, new.carry) == (
        "queued",
        42,
        100,
        41,
        {"rows": 42},
    )
    (action,) = new.actions
    assert (action.verb, action.who, action.change) == ("fork", "ann", "forked from a")
    (message,) = shop.queued()
    assert message.headers["id"] == new.id
    assert message.headers["group"] is None
    found = embedded(message)
    assert not any(found[name] for name in ("callbacks", "errbacks", "chain", "chord"))
    assert json.loads(message.body)[0] == ["a.csv"]
    shop.runs.cancel(new.id)
    assert shop.runs.get("a").state == "running"


def test_a_fork_from_a_cursor_counts_anew(shop: Shop) -> None:
    shop.begin("a")
    shop.fail("a")
    sent = shop.runs.fork("a", cursor=20, carry={"rows": 1}).sent
    assert sent is not None
    new = shop.runs.get(sent)
    assert (new.steps, new.cursor) == (0, None)
    options = json.loads(shop.record(sent).options)
    begins = decode(options["cursor"])
    assert (begins.cursor, begins.carry) == (20, {"rows": 1})


def test_a_fork_of_a_dry_run_stays_dry_and_is_not_the_keys(shop: Shop) -> None:
    shop.runs.start(TASK, ("a.csv",), once="k", limit=9)
    run = shop.runs.get("k")
    sent = shop.runs.fork("k").sent
    assert sent is not None
    new = shop.runs.get(sent)
    assert (new.once, new.limit) == (None, 9)
    assert shop.runs.get("k").id == run.id


def test_a_run_whose_key_is_anothers_is_not_retried(shop: Shop) -> None:
    shop.runs.start(TASK, ("a.csv",), once="k")
    first = shop.runs.get("k").id
    shop.runs.cancel(first)
    shop.runs.start(TASK, ("a.csv",), once="k")
    with pytest.raises(errors.RunRefused, match="was started once for the key 'k', which is that"):
        shop.runs.retry(first)


def test_canvases_are_read(shop: Shop) -> None:
    """What a retry looks for is what Celery writes."""
    after, run = shop.app.tasks["shop.after"], shop.app.tasks[TASK]
    first = run.s("a.csv").set(task_id="a")
    assert of_a_canvas(shop, lambda s: chord([first, after.s(1)], after.s()))["chord"]
    whole = chord(group(chain(first, after.s()), after.s(1)), after.s())
    (rest,) = of_a_canvas(shop, lambda s: whole)["chain"]
    assert rest["options"]["chord"]
