"""Commands show what others wrote as text: no control character, no line of their own."""

from __future__ import annotations

import json

import pytest

from celery_graceful.cli.exit_codes import IN_MAINTENANCE
from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runtime import Runtime
from tests.unit.hostile.conftest import Call
from tests.unit.hostile.records import TASK, fill, put, record_of
from tests.unit.hostile.texts import JSON, TEXTS, unsafe_in

each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
each_json = pytest.mark.parametrize("text", JSON.values(), ids=JSON)
#: Characters that a command may print about a text of a megabyte.
MUCH = 200_000


def check(call: Call, *words: str, code: int = 0) -> str:
    """A command ends as it should and prints nothing that does something; its output."""
    done = call(*words)
    assert done.exit_code == code, done.output[-2000:]
    assert not unsafe_in(done.stdout + done.stderr), words
    return done.stdout


@each_text
def test_lists_and_single_runs(call: Call, runtime: Runtime, text: str) -> None:
    keys = fill(runtime, text)
    table = check(call, "runs")
    assert all(str(state) in table or state is State.ENDED for state in State)
    for key in keys:
        check(call, "show", "--", f"{key.task}[{key.id}]")
    data = json.loads(check(call, "runs", "--json"))
    assert {run["id"] for run in data["runs"]} == {key.id for key in keys}


@each_json
def test_what_should_be_json_and_is_not(call: Call, runtime: Runtime, text: str) -> None:
    for state in State:
        put(runtime, RunKey(TASK, f"a-{state}"), record_of(text, state, structured=False))
    check(call, "runs")
    json.loads(check(call, "runs", "--json"))
    for state in State:
        check(call, "show", f"a-{state}")


def test_a_reason_for_maintenance(call: Call) -> None:
    reason = "".join(text[:300] for text in TEXTS.values()).replace("\x00", "")
    check(call, "down", "-Q", "celery", "--reason", reason)
    for words in (("status",), ("status", "--json")):
        check(call, *words, code=IN_MAINTENANCE)
    check(call, "up")


def test_ids_that_are_not_there(call: Call) -> None:
    for text in TEXTS.values():
        if text.strip():
            for command in ("show", "runs"):
                done = call(command, "--", text.replace("\x00", ""))
                assert done.exit_code != 0
                assert not unsafe_in(done.stdout + done.stderr)
                assert len(done.stderr) < MUCH
