"""Commands show what others wrote as text: no control character, no line of their own."""

from __future__ import annotations

import json

from celery_graceful.cli.exit_codes import IN_MAINTENANCE
from celery_graceful.runtime import Runtime
from tests.unit.hostile.conftest import Call
from tests.unit.hostile.records import fill, fill_with_json
from tests.unit.hostile.texts import TEXTS, each_json, each_text, unsafe_in

#: Characters that a command may print about a text of a megabyte.
MUCH = 200_000


def check(call: Call, *words: str, code: int = 0) -> str:
    """A command ends as it should and prints nothing that does something; its output."""
    done = call(*words)
    assert done.exit_code == code, done.output[-2000:]
    assert not unsafe_in(done.stdout + done.stderr), words
    return done.stdout


@each_text
def test_lists_and_single_runs(call: Call, runtime: Runtime, texts: list[str]) -> None:
    keys = fill(runtime, texts)
    check(call, "runs")
    for key in keys:
        check(call, "show", "--", str(key))
    data = json.loads(check(call, "runs", "--json"))
    assert {run["id"] for run in data["runs"]} == {key.id for key in keys}


@each_json
def test_what_should_be_json_and_is_not(call: Call, runtime: Runtime, texts: list[str]) -> None:
    ids = fill_with_json(runtime, texts)
    check(call, "runs")
    json.loads(check(call, "runs", "--json"))
    for run_id in ids:
        check(call, "show", run_id)
        json.loads(check(call, "show", run_id, "--json"))


def test_a_reason_for_maintenance(call: Call) -> None:
    reason = "".join(text[:300] for text in TEXTS.values()).replace("\x00", "")
    check(call, "down", "-Q", "celery", "--reason", reason)
    for words in (("status",), ("status", "--json")):
        check(call, *words, code=IN_MAINTENANCE)
    check(call, "up")


def test_ids_that_are_not_there(call: Call) -> None:
    for text in TEXTS.values():
        if text.strip():
            for verb in ("show", "runs", "pause", "retry"):
                done = call(verb, "--", text.replace("\x00", ""))
                assert done.exit_code != 0
                assert not unsafe_in(done.stdout + done.stderr), verb
                assert len(done.stderr) < MUCH
