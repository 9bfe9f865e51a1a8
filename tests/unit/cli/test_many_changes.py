"""One verb for many runs, verbs with options of their own, and questions that are asked first."""

from __future__ import annotations

import json

import pytest

from celery_graceful.model.run.record import RunKey, State
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import ID, TASK, Run, begin, leave, queued, state

OTHERS = [RunKey(TASK, f"other-{number}") for number in range(6)]


def test_all_that_fit_are_changed_after_a_yes(call: Run, runtime: Runtime) -> None:
    for run in OTHERS:
        begin(runtime, run)
    begin(runtime)
    leave(runtime)
    asks = call("pause", "--task", "shop.*")
    assert asks.exit_code == 2
    assert "Pause 7 runs: " in asks.stderr
    assert "and 2 more? This needs a yes: add --yes" in asks.stderr
    done = call("pause", "--state", "running", "--yes", "--reason", "disk full", "-j")
    assert done.exit_code == 0
    assert "pause: done for 6 runs, refused for 0." in done.stderr
    data = json.loads(done.stdout)
    assert [each["refused"] for each in data["results"]] == [None] * 6
    assert data["results"][0]["undo"] == f"celery graceful resume '{OTHERS[0]}'"
    assert state(runtime) is State.INTERRUPTED, "it was not running"


def test_runs_that_cannot_be_changed_are_left(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    done = call("retry", "-T", TASK, "-y")
    assert "Left as they are: 1 run, to which retry does not apply." in done.stderr
    assert (done.exit_code, "No run of task shop.import to retry." in done.stderr) == (0, True)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("pause",), "Give an ID, its first characters, or filters"),
        (("pause", ID, "--state", "running"), "Give an ID or filters, not both"),
        (("pause", "--state", "sleeping"), "'sleeping' is none of"),
        (("retry", ID, "--from", "{"), "is not JSON"),
        (("retry", ID, "--carry", "{}"), "--carry is for --from"),
        (("adjust", ID), "Adjust what?"),
        (("adjust", ID, "--checkpoint-interval", "soon"), "is not a duration"),
        (("release", ID), "This needs a yes: add --yes"),
    ],
)
def test_what_is_not_clear(call: Run, runtime: Runtime, words: tuple[str, ...], error: str) -> None:
    begin(runtime)
    done = call(*words)
    assert (done.exit_code, error in done.stderr) == (2, True), done.stderr


def test_a_run_from_end_to_end(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    adjusted = call("adjust", ID, "--batch-size", "5", "--checkpoint-interval", "5s")
    assert "Asked: it is adjusted at its next checkpoint." in adjusted.stderr
    assert f"Undo: celery graceful adjust {ID} --checkpoint-interval 0.0 --batch-size 0" in (
        adjusted.stderr
    )
    released = call("release", ID, "--yes")
    assert "It was running, and is interrupted." in released.stderr
    assert "may run twice" in released.stderr
    call("cancel", ID)
    rewound = call("retry", ID, "--from", "7", "-j")
    assert "It was cancelled, and is interrupted." in rewound.stderr
    data = json.loads(rewound.stdout)
    assert (data["before"], data["run"]["cursor"]) == ("cancelled", 7)
    forked = call("fork", ID, "-j")
    sent = json.loads(forked.stdout)["sent"]
    assert f"Undo: celery graceful cancel {sent}" in forked.stderr
    assert len(queued(runtime.app)) == 3
    call("pause", ID)
    assert "This needs a yes" in call("delete", ID).stderr
    assert call("delete", ID, "-y").exit_code == 0
    assert state(runtime) is None
