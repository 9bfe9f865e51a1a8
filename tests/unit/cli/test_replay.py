"""Sending items again that were quarantined."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.model.run.history import actions
from celery_graceful.model.run.record import Outcome
from celery_graceful.runs.quarantined_items import ENVELOPE, REPLAY, envelope_entry
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import ID, RUN, Run, begin, queued

runs: Any = importlib.import_module("celery_graceful.cli.show.one_run")


def quarantined(runtime: Runtime, *ordinals: int) -> None:
    record = runtime.store.load(RUN).record
    assert record is not None
    entry = {
        "item": "'row'",
        "before": encode(Checkpoint(6)),
        "cursor": encode(Checkpoint(7)),
        "error": "ValueError('broken')",
        "traceback": "Traceback …",
        "at": 1.0,
    }
    entries = {ENVELOPE: envelope_entry(record.envelope)}
    entries.update(dict.fromkeys(ordinals, json.dumps(entry)))
    for ordinal, text in entries.items():
        assert runtime.store.quarantine(RUN, record.fence, ordinal, text, keep=60)


def test_items_are_listed(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    quarantined(runtime, 7, 12)
    done = call("show", ID)
    assert "ValueError('broken')" in done.stdout
    assert f"celery graceful replay {ID}" in done.stdout
    (first, _) = json.loads(call("show", ID, "-j").stdout)["run"]["quarantined_items"]
    assert (first["number"], first["cursor"], first["traceback"]) == (7, 7, "Traceback …")


def test_the_first_of_many_items_are_said_to_be_the_first(
    call: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(runtime)
    quarantined(runtime, 7, 12, 13)
    monkeypatch.setattr(runs, "MOST_SHOWN", 3)
    assert "quarantined items" not in call("show", ID).stderr
    monkeypatch.setattr(runs, "MOST_SHOWN", 2)
    monkeypatch.setattr(runs, "MOST_ITEMS", 2)
    done = call("show", ID)
    assert "The first 2 of 3 quarantined items." in done.stderr
    assert done.stdout.count("ValueError") == 2
    assert len(json.loads(call("show", ID, "-j").stdout)["run"]["quarantined_items"]) == 2


def test_a_task_of_its_own_is_sent(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    quarantined(runtime, 7, 12)
    done = call("replay", ID, "--item", "12", "-j")
    assert done.exit_code == 0
    (message,) = queued(runtime.app)
    assert message.headers["id"] == json.loads(done.stdout)["sent"] != ID
    assert json.loads(done.stdout)["items"] == 1
    assert message.headers[REPLAY] == [ID, [12]]
    args, _, embed = message.decode()
    assert args == ["a.csv"]
    assert not any(embed.values())


def test_nothing_to_replay(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    assert call("replay", ID).exit_code == 4
    quarantined(runtime, 7)
    refused = call("replay", ID, "-i", "8")
    assert refused.exit_code == 4
    assert "has no quarantined item 8. List them: " in refused.stderr
    assert queued(runtime.app) == []


def _log(runtime: Runtime) -> list[tuple[str, str]]:
    record = runtime.store.load(RUN).record
    assert record is not None
    return [(each.reason, each.change) for each in actions(record.actions)]


def test_the_log_has_it(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    quarantined(runtime, 7, 12)
    done = call("replay", ID, "--reason", "the API is back", "-j")
    sent = json.loads(done.stdout)["sent"]
    assert _log(runtime) == [
        ("the API is back", f"2 items are tried again by shop.import[{sent}]"),
    ]


def test_a_task_that_the_broker_refuses_is_not_a_replay(
    call: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(runtime)
    quarantined(runtime, 7)

    def refuse(*args: object, **given: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("celery_graceful.runs.operating.replays.publish", refuse)
    assert call("replay", ID).exit_code != 0
    (_, first), (_, second) = _log(runtime)
    assert first.startswith("1 item is tried again by")
    assert second.endswith("was not sent: connection refused")


def test_an_ended_run_stays_what_it_was(call: Run, runtime: Runtime) -> None:
    """It has ended when it did, and is forgotten when it was to be."""
    begin(runtime)
    quarantined(runtime, 7)
    before = runtime.store.load(RUN).record
    assert before is not None
    end = ev.End(before.fence, Outcome.COMPLETED)
    ended = transition(runtime.store, RUN, end, runtime.policy).record
    assert ended is not None
    for _ in range(2):
        assert call("replay", ID).exit_code == 0
    after = runtime.store.load(RUN).record
    assert after is not None
    assert after.ended_at is not None
    assert ended.ended_at is not None
    assert (after.end, after.outcome, after.steps) == (ended.end, ended.outcome, ended.steps)
    assert after.ended_at + after.kept_for == pytest.approx(ended.ended_at + ended.kept_for, abs=1)
    assert len(_log(runtime)) == 2
