"""Sending items again that were quarantined."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from celery_graceful.model.run.cursor import Checkpoint, encode
from celery_graceful.runs.quarantined_items import ENVELOPE, REPLAY, envelope_entry
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
