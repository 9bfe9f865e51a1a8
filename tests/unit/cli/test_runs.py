"""The entry point, and looking at runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from celery import Celery
from click.testing import CliRunner

from celery_graceful import IterableTask
from celery_graceful.cli import COMMANDS, graceful
from celery_graceful.cli.run_text import HEADINGS
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, RunKey, replace
from celery_graceful.runs.transition import transition
from celery_graceful.runtime import Runtime
from tests.unit.cli.shop import ID, RUN, TASK, Run, begin, leave


def test_the_entry_point_imports_click_alone() -> None:
    code = (
        "import sys, celery_graceful.cli; "
        "print([m for m in sys.modules if m.split('.')[0] in ('celery', 'kombu', 'redis', 'rich')"
        " or m.startswith('celery_graceful.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    leaves = (
        "['celery_graceful.text', 'celery_graceful.text.masking', "
        "'celery_graceful.text.printable', 'celery_graceful.text.log_lines', "
        "'celery_graceful.cli.options', "
    )
    assert done.stdout.strip() == f"{leaves}'celery_graceful.cli']", done.stdout + done.stderr


def test_every_command_is_there_and_has_help() -> None:
    done = CliRunner().invoke(graceful, ["--help"])
    assert done.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in done.output
        assert CliRunner().invoke(graceful, [name, "--help"]).exit_code == 0


def test_an_unknown_command_is_a_usage_error(call: Run) -> None:
    assert call("rnus").exit_code == 2


def test_no_runs_say_so_and_where_they_were_looked_for(call: Run) -> None:
    done = call("runs")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "No runs (app shop, store redis://" in done.stderr


def test_a_run_is_listed(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    done = call("runs")
    assert done.exit_code == 0, done.output
    head, line = done.stdout.splitlines()
    assert tuple(head.split()) == (*HEADINGS, "why")
    assert line.split()[:7] == [TASK, ID, "running", "42/100", "41", "0", "0"]


@pytest.mark.parametrize(
    ("crashes", "crash_steps", "column", "line"),
    [
        (0, -1, 0, "none"),
        (1, 42, 1, "1 in a row without progress, the last one: signal 9"),
        (3, 42, 3, "3 in a row without progress, the last one: signal 9"),
        (1, 41, 0, "none since its last progress; the last one: signal 9"),
    ],
)
def test_crashes_count_until_the_run_gets_further(
    call: Run, runtime: Runtime, crashes: int, crash_steps: int, column: int, line: str
) -> None:
    begin(runtime)
    record = runtime.store.load(RUN).record
    assert record is not None
    last = "signal 9" if crashes else ""
    crashed = replace(record, crashes=crashes, crash_steps=crash_steps, last_crash=last)
    runtime.store.swap(RUN, record.version, crashed, due_in=30)
    (run,) = json.loads(call("runs", "-j").stdout)["runs"]
    assert (run["crashes"], run["last_crash"]) == (column, last or None)
    assert re.search(rf"^crashes +{line}$", call("show", ID).stdout, re.MULTILINE)


def test_in_a_terminal_the_reasons_are_below(
    call: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("8f6f2c52", "9f6f2c52", "af6f2c52"):
        admit = ev.Admit(generation=0, owner="w1/abc", at=1000.0)
        transition(runtime.store, RunKey(TASK, run_id), admit, runtime.policy)
        if run_id != "af6f2c52":
            transition(
                runtime.store, RunKey(TASK, run_id), ev.Kill(Outcome.FAILED, "x"), runtime.policy
            )
    admit = ev.Admit(generation=0, owner="w1/abc", at=2000.0)
    for run_id in ("8f6f2c52-b", "9f6f2c52-b"):
        key = RunKey(TASK, run_id)
        fence = transition(runtime.store, key, admit, runtime.policy).record
        assert fence is not None
        left = ev.HandOver(fence.fence, None, 0, "paused", pauses=True)
        transition(runtime.store, key, left, runtime.policy)
    monkeypatch.setattr("celery_graceful.text.terminal.terminal_width", lambda: 80)
    monkeypatch.setattr("celery_graceful.cli.output.terminal_width", lambda: 80)
    lines = call("runs").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    reasons = " ".join(lines[lines.index("Why they do not move:") + 1 :])
    assert reasons == (
        "8f6f2c52-b, 9f6f2c52-b: paused by an operator; resume it: celery graceful resume ID"
    )


def test_runs_under_way_come_first(call: Run, runtime: Runtime) -> None:
    for number, name in enumerate(["oldest", "done", "old", "done later", "young"]):
        admit = ev.Admit(generation=0, owner="w1/abc", at=1000.0 + number)
        transition(runtime.store, RunKey(TASK, name), admit, runtime.policy)
        if "done" in name:
            over = ev.End(1, Outcome.COMPLETED)
            transition(runtime.store, RunKey(TASK, name), over, runtime.policy)
    listed = json.loads(call("runs", "-j").stdout)["runs"]
    assert [run["id"] for run in listed] == ["oldest", "old", "young", "done later", "done"]


def test_json_has_a_schema_and_nothing_beside_it(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    data = json.loads(call("runs", "-j").stdout)
    assert data["schema"] == 1
    (run,) = data["runs"]
    assert (run["id"], run["steps"], run["total"], run["cursor"]) == (ID, 42, 100, 41)
    alone = json.loads(call("show", ID, "--json").stdout)["run"]
    assert alone.pop("now") >= run.pop("now")
    assert alone == {**run, "quarantined_items": []}


def test_one_run_is_shown_in_full(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    for name in (ID, f"{TASK}[{ID}]"):
        shown = call("show", name).stdout
        for line in (r'carry +\{"rows": 42\}', r"worker +w1/abc", r"lease ends +in \d+"):
            assert re.search(line, shown), shown


def test_runs_can_be_picked_by_state(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    begin(runtime, RunKey(TASK, "other"))
    call("pause", ID)
    leave(runtime)
    assert ID in call("runs", "-s", "paused").stdout
    assert "other" not in call("runs", "-s", "paused").stdout
    assert call("runs", "-s", "sleeping").exit_code == 2


def test_a_run_of_a_task_that_is_not_registered_is_found(call: Run, runtime: Runtime) -> None:
    begin(runtime)
    del runtime.app.tasks[TASK]
    assert call("show", ID).exit_code == 0


def test_one_id_in_two_tasks_has_to_be_told_apart(call: Run, app: Celery, runtime: Runtime) -> None:
    begin(runtime)

    @app.task(base=IterableTask, shared=False, name="shop.other")
    def other(*, cursor: int | None = None) -> Iterator[int]:
        yield 1

    admit = ev.Admit(generation=0, owner="w1/abc")
    transition(runtime.store, RunKey("shop.other", ID), admit, runtime.policy)
    done = call("pause", ID)
    assert done.exit_code == 4
    assert f"\n  {TASK}[{ID}] (running)\n  shop.other[{ID}] (running)" in done.stderr
    assert call("pause", f"{TASK}[{ID}]").exit_code == 0


def test_an_unknown_run_is_refused(call: Run) -> None:
    done = call("show", "nobody")
    assert done.exit_code == 4
    assert "no run 'nobody' is known to the app 'shop'" in done.stderr
