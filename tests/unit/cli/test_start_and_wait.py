"""``graceful start`` and ``graceful wait``: what they say, and their exit codes."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest
from celery import Celery

from celery_graceful.cli.operate import wait_for_run
from celery_graceful.cli.operate.wait_for_run import Bar, Lines
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, RunKey
from celery_graceful.runs.oneoff import wait as waiting
from celery_graceful.runs.oneoff.wait import Look
from celery_graceful.runs.plain_run import run_of
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from tests.harness.delivered import InProcess
from tests.unit.cli.shop import ID, TASK, Run

START = ("start", TASK, "--args", '["a.csv"]')
KEYED = (*START, "--once", "import-2026")


@pytest.fixture
def started(call: Run) -> str:
    done = call(*KEYED, "--json")
    assert done.exit_code == 0, done.stderr
    return str(json.loads(done.stdout)["run"]["id"])


def end(runtime: Runtime, run_id: str, event: ev.Event) -> None:
    done = transition(runtime.store, RunKey(TASK, run_id), event, runtime.policy)
    assert done.record is not None


def test_a_key_starts_one_run_and_says_so(call: Run, app: Celery) -> None:
    done = call(*KEYED, "-j")
    data = json.loads(done.stdout)
    run = data["run"]
    assert (data["schema"], data["how"], data["note"]) == (1, "started", None)
    assert (run["state"], run["once"], run["queue"]) == ("queued", "import-2026", "celery")
    assert f"Started: {TASK}[{run['id']}]" in done.stderr
    assert f"graceful wait {run['id']}" in done.stderr
    again = call(*KEYED)
    assert again.exit_code == 0
    assert "Under way already" in again.stderr
    InProcess(app).deliver_all()
    ended = call(*KEYED, "-j")
    assert ended.exit_code == 0
    assert "Has completed already" in ended.stderr
    assert json.loads(ended.stdout)["how"] == "completed"
    shown = call("show", "import-2026").stdout
    assert re.search(r"started once as +import-2026", shown)
    assert re.search(r"worked for +\S+", shown)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("start", "shop.improt"), "Did you mean"),
        (("start", "celery.ping"), "has no task"),
        (("start", TASK, "--args", "[1"), "is not JSON"),
        (("start", TASK, "--args", "{}"), "is not a list"),
        (("start", TASK, "--kwargs", "[]"), "is not an object"),
        ((*START, "--dry-run"), "offers no dry run"),
        ((*START, "--limit", "0"), "0 is not in the range"),
        ((*START, "--pause-after", "9", "--limit", "5"), "not less than limit"),
        ((*START, "--once", "a b"), "cannot be a key"),
        ((*START, "--timeout", "1h"), "--timeout is for --wait"),
        ((*START, "--keep", "1h"), "--keep is for --once"),
        (("start", TASK), "missing"),
        (("wait", "x", "--timeout", "soon"), "soon"),
    ],
)
def test_wrong_usage_sends_nothing(call: Run, words: tuple[str, ...], text: str) -> None:
    done = call(*words)
    assert done.exit_code == 2
    assert text in done.stderr
    assert "No runs" in call("runs").stderr


@pytest.mark.parametrize(
    ("event", "state", "code"),
    [
        (ev.Kill(Outcome.COMPLETED, "test"), "completed", 0),
        (ev.Kill(Outcome.FAILED, "test"), "failed", 5),
        (ev.Cancel(), "cancelled", 6),
        (ev.Pause(), "paused", 7),
    ],
)
@pytest.mark.parametrize("name", ["id", "prefix", "key"])
def test_each_end_of_a_wait_has_its_exit_code(
    call: Run, runtime: Runtime, started: str, event: ev.Event, state: str, code: int, name: str
) -> None:
    end(runtime, started, event)
    named = {"id": started, "prefix": started[:8], "key": "import-2026"}[name]
    done = call("wait", named, "--json")
    assert done.exit_code == code
    assert json.loads(done.stdout)["run"]["state"] == state
    assert state in done.stderr


def test_a_start_that_waits_exits_like_a_wait(call: Run, runtime: Runtime, started: str) -> None:
    end(runtime, started, ev.Pause())
    assert call(*KEYED, "--wait").exit_code == 7


def test_a_wait_that_is_over_leaves_the_run_alone(call: Run, started: str) -> None:
    done = call("wait", started, "--timeout", "200ms")
    assert done.exit_code == 3
    assert "is queued after" in done.stderr
    assert "It continues" in done.stderr


def test_ctrl_c_leaves_the_run_alone(
    call: Run, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "pause", interrupted)
    done = call("wait", started)
    assert done.exit_code == 130
    assert "continues" in done.stderr


def test_a_run_that_nobody_knows_of(call: Run) -> None:
    done = call("wait", ID)
    assert done.exit_code == 4
    assert "no run" in done.stderr


# -- how far it is ----------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def in_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Within the test: pytest sets its own stderr after the fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def look_at(runtime: Runtime, run_id: str, trouble: str = "") -> Look:
    key = RunKey(TASK, run_id)
    at = runtime.store.load(key)
    assert at.record is not None
    return Look(run_of(runtime, key, at.record, at.now), trouble)


def test_a_terminal_shows_a_bar(
    runtime: Runtime, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = in_terminal(monkeypatch)
    with wait_for_run.display() as shown:
        assert isinstance(shown, Bar)
        shown.show(look_at(runtime, started))
        shown.show(look_at(runtime, started, "the store is away"))
    assert f"{TASK}[{started[:8]}]: queued" in terminal.getvalue()


def test_without_rich_it_shows_lines(
    runtime: Runtime, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = in_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with wait_for_run.display() as shown:
        assert type(shown) is Lines
        for trouble in ("", "", "the store is away", "the store is away", ""):
            shown.show(look_at(runtime, started, trouble))
    lines = terminal.getvalue().splitlines()
    assert [("queued" in line, "the store is away" in line) for line in lines] == [
        (True, False),
        (False, True),
        (True, False),
    ]
