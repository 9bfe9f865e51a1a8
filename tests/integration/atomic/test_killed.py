"""Killed at any step, or at any moment: no effect is missing, none is there twice."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.forkserver import run as run_python

from .tasks import GENERATOR, TASK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KILLER = "tests.integration.atomic.killer"
#: With ``GRACEFUL_FULL=1`` each scenario is killed at every single step.
FULL = os.environ.get("GRACEFUL_FULL") == "1"


KINDS = pytest.mark.parametrize(
    "database",
    [
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("django+sqlite", marks=pytest.mark.matrix),
        pytest.param("django+postgres", marks=[pytest.mark.postgres, pytest.mark.matrix]),
        pytest.param("django+mariadb", marks=[pytest.mark.mariadb, pytest.mark.matrix]),
    ],
    indirect=True,
)


def killed(how: str, number: str, database: str, folder: Path, *run: str) -> list[dict[str, Any]]:
    """What ``killer.py`` tells of each run."""
    store = f"sqlite:///{folder}/store.db"
    arguments = [how, number, database, store, str(folder), *run]
    done = run_python([sys.executable, "-m", KILLER, *arguments], env=os.environ, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_exact(run: dict[str, Any]) -> None:
    assert run["items"] == list(range(8)), run
    assert (run["start"], run["complete"]) == (1, 1), run
    assert run["stop"] <= 1, run
    assert run["outcome"] == "completed", run
    # ``None``: the killed process had brought the run to its end already.
    assert run["result"] in (None, {"sum": 28}), run


@KINDS
@pytest.mark.parametrize(
    ("task", "what", "every", "stride"),
    [
        (TASK, "", "3", 4),
        (TASK, "is brief", "3", 6),
        (GENERATOR, "stops once", "3", 12),
        (GENERATOR, "fails once", "100", 12),
        (TASK, "retries once", "10ms", 12),
    ],
)
def test_killed_at_each_step(
    database: str, tmp_path: Path, task: str, what: str, every: str, stride: int
) -> None:
    stride = 1 if FULL else stride
    # Between the steps of one kind of database lie those of the other.
    first = 0 if database.startswith("sqlite") else stride // 2
    told = killed("steps", f"{first}:{stride}", database, tmp_path, task, what, every)
    assert len(told) > 60 / stride, told
    for run in told:
        check_exact(run)
        left_between_end_and_removal = ("store's swap", "DELETE", "commit")
        assert not run["rows"] or any(w in run["step"] for w in left_between_end_and_removal), run


@KINDS
def test_killed_at_any_moment(database: str, tmp_path: Path) -> None:
    times = 100 if FULL else 15
    told = killed("moments", str(times), database, tmp_path, TASK, "", "3")
    assert len(told) == times
    for run in told:
        check_exact(run)
