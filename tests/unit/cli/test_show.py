"""``graceful show``: one run as a person reads it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from celery import Celery

from celery_graceful.cli.show import one_run_text as text
from celery_graceful.model.run.history import Action, PastExecution, RunError
from celery_graceful.runs.api import Runs
from celery_graceful.runtime import Runtime
from celery_graceful.text.terminal import cell_width
from tests.unit.cli.shop import ID, TASK, Run, begin, leave
from tests.unit.views.made import NOW, run

SECTIONS = ("Executions:", "What operators did:", "Last error:", "What can be done:")
FULL = run(
    "running",
    args=["orders.csv", {"since": "2025-11-01"}],
    kwargs={"dry": True},
    rate=12.5,
    rate_now=14.0,
    time_left=300.0,
    priority=5,
    sent_by="ann@ops",
    tags=("nightly", "upload:42"),
    checkpoint_at=NOW - 1,
    executions=tuple(
        PastExecution(f"w{n}@host/a", NOW - 600 + n, NOW - 590 + n, 100, "shutdown")
        for n in range(12)
    ),
    actions=(Action(NOW - 9, "ann@ops", "pause", "too much load", "running → paused"),),
    error=RunError("ValueError", "row 7: no price", "\n".join(f"line {n}" for n in range(50))),
)


def test_what_is_known_of_a_run() -> None:
    which, where = text.headlines(FULL)
    assert which == "shop.export[8f6f2c52]"
    assert where.startswith("running on w1@host/a, 42 of 100 items (42 %)  ████████░")
    facts = dict(text.facts(FULL))
    assert facts["arguments"] == '"orders.csv", {"since": "2025-11-01"}, dry=true'
    assert facts["rate"] == "14.0/s in the last minute, 12.5/s overall, about 5m left"
    assert facts["queue"] == "exports, priority 5"
    assert facts["tags"] == "nightly, upload:42"
    assert facts["sent by"] == "ann@ops"
    assert facts["checkpoint"] == "2025-11-30 13:59:59Z (1s ago)"
    assert "unroutable" not in facts


@pytest.mark.parametrize(
    ("args", "kwargs", "shown"),
    [
        (None, None, "not known"),
        ([], {}, "none"),
        ("(1, 2)", "{'a': 3}", '"(1, 2)" "{\'a\': 3}"'),
        (["x" * 10_000], {}, '"xxx'),
    ],
)
def test_arguments(args: object, kwargs: object, shown: str) -> None:
    found = dict(text.facts(replace(FULL, args=args, kwargs=kwargs)))["arguments"]
    assert found.startswith(shown)
    assert len(found) < 2100


def test_of_a_long_past_the_end_is_shown() -> None:
    table = text.executions_table(FULL)
    assert table.title == "Executions (the last 10 of 12)"
    assert table.rows[-1] == (
        "2025-11-30 13:50:11Z", "10s", "w11@host/a", "100", "10.0", "shutdown",
    )  # fmt: skip
    (action,) = text.actions_table(FULL).rows
    assert action[1:] == ("ann@ops", "pause", "too much load", "running → paused")
    assert FULL.error is not None
    lines = text.error_lines(FULL.error)
    assert lines[0] == "ValueError: row 7: no price"
    assert lines[1:] == [f"  line {n}" for n in range(30, 50)]


def test_why_it_does_not_move_and_what_can_be_done(
    call: Run, app: Celery, runtime: Runtime
) -> None:
    begin(runtime)
    leave(runtime)
    assert "Why: no worker is there; start one: celery worker" in call("show", ID).stdout
    Runs(lambda: app).pause(ID, who="ann", reason="too much load")
    shown = call("show", ID).stdout
    assert f'Why: paused by ann: "too much load"; resume it: celery graceful resume {ID}' in shown
    done = shown[shown.index("What can be done:") :]
    assert re.search(rf"^resume +celery graceful resume {ID}$", done, re.MULTILINE)
    assert re.search(rf"^cancel +celery graceful cancel {ID}$", done, re.MULTILINE)
    assert "pause " not in done
    data = json.loads(call("show", ID, "--json").stdout)["run"]
    assert data["why"] == f'paused by ann: "too much load"; resume it: celery graceful resume {ID}'
    assert data["actions"][-1]["who"] == "ann"


def test_it_fits_80_columns(call: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(runtime)
    leave(runtime)
    monkeypatch.setattr("celery_graceful.text.terminal.terminal_width", lambda: 80)
    monkeypatch.setattr("celery_graceful.cli.output.terminal_width", lambda: 80)
    lines = call("show", f"{TASK}[{ID}]").stdout.splitlines()
    assert max(map(cell_width, lines)) <= 80, lines
    assert any(section in lines for section in SECTIONS)
