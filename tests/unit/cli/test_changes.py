"""Pausing, resuming, cancelling and sending again."""

from __future__ import annotations

import json

import pytest

from celery_graceful._celery.message.headers import GENERATION
from celery_graceful.model.run.record import State
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import ID, RUN, Run, begin, leave, queued, result_state, state


def test_pausing_a_running_run_asks_its_runner(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    done = call("pause", ID)
    assert (done.exit_code, done.stdout) == (0, "")
    whom, run, *_, undo = done.stderr.splitlines()
    assert whom.startswith("App shop, broker memory://")
    assert run == f"{RUN}: running, owned by w1/abc, 42/100 items done, cursor 41"
    assert undo == f"Undo: celery graceful resume {ID}"
    leave(runtime)
    assert state(runtime) is State.PAUSED


def test_a_pause_can_be_withdrawn_before_it_is_seen(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    call("pause", ID)
    assert "pause withdrawn" in call("resume", ID).stderr
    leave(runtime)
    assert state(runtime) is State.INTERRUPTED


def test_resuming_publishes_the_next_generation(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    call("pause", ID)
    assert call("resume", ID).exit_code == 0
    (message,) = queued(runtime.app)
    assert (message.headers["id"], message.headers[GENERATION]) == (ID, 3)
    assert state(runtime) is State.INTERRUPTED


def test_a_purged_run_shows_as_orphaned_and_is_sent_again(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    record = runtime.store.load(RUN).record
    assert record is not None
    runtime.store.swap(RUN, record.version, record, due_in=-1)
    assert "interrupted, orphaned" in call("runs").stdout
    done = call("resend", ID, "-j")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    assert (data["verb"], data["verdict"], data["undo"]) == (
        "resend",
        "publish",
        f"celery graceful pause {ID}",
    )
    assert [each.headers[GENERATION] for each in queued(runtime.app)] == [2]
    assert "orphaned" not in call("runs").stdout


def test_cancelling_a_pending_run_ends_it_for_those_who_wait(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    done = call("cancel", ID)
    assert done.exit_code == 0
    assert "But" not in done.stderr
    assert f"Undo: celery graceful retry {ID}" in done.stderr
    assert state(runtime) is State.ENDED
    assert result_state(runtime.app) == "REVOKED"


def test_cancelling_a_running_run_asks_its_runner(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    assert "Asked: it stops at its next checkpoint." in call("cancel", ID).stderr
    assert result_state(runtime.app) == "PENDING"
    assert "already asked" in call("cancel", ID).stderr


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("resend", "A worker runs it"),
        ("resume", "It is not paused"),
    ],
)
def test_what_does_not_fit_a_running_run_is_refused(
    call: Run, runtime: Runtime, verb: str, words: str
) -> None:
    begin(runtime)
    before = runtime.store.load(RUN).record
    done = call(verb, ID)
    assert (done.exit_code, words in done.stderr) == (4, True), done.stderr
    assert runtime.store.load(RUN).record == before


def test_an_ended_run_stays_ended(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    call("cancel", ID)
    for verb in ("pause", "resume", "cancel", "resend"):
        done = call(verb, ID)
        assert done.exit_code == 4
        assert "It was cancelled. Retry it, or fork it." in done.stderr


def test_a_run_of_another_broker_is_not_published_here(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    leave(runtime)
    runtime.__dict__["broker"] = "amqp://elsewhere:5672/"
    done = call("resend", ID)
    assert done.exit_code == 4
    assert "this app publishes to amqp://elsewhere:5672/" in done.stderr
