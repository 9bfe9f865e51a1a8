"""Killed at any step, or at any moment: no effect is missing, none is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.worker import ROOT

from .tasks import GENERATOR, TASK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: With ``GRACEFUL_FULL=1`` each scenario is killed at every single step.
FULL = os.environ.get("GRACEFUL_FULL") == "1"


def killed_at_each_step(
    database: str, folder: Path, task: str, what: str, every: str, stride: int
) -> list[dict[str, Any]]:
    """What ``killer.py`` tells of each step."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.integration.atomic.killer", database),
            *(f"sqlite:///{folder}/store.db", str(folder), task, what, every, str(stride)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("task", "what", "every", "stride"),
    [
        (TASK, "", "3", 2),
        (GENERATOR, "stops once", "3", 7),
        (GENERATOR, "fails once", "100", 7),
        (TASK, "retries once", "10ms", 7),
    ],
)
def test_killed_at_each_step(
    database: str, tmp_path: Path, task: str, what: str, every: str, stride: int
) -> None:
    stride = 1 if FULL else stride
    told = killed_at_each_step(database, tmp_path, task, what, every, stride)
    assert len(told) > 70 / stride, told
    for run in told:
        assert run["items"] == list(range(8)), run
        assert (run["start"], run["complete"]) == (1, 1), run
        assert run["stop"] <= 1, run
        assert run["outcome"] == "completed", run
        # ``None``: the killed process had brought the run to its end already.
        assert run["result"] in (None, {"sum": 28}), run
        assert not run["rows"] or "store's swap" in run["step"] or is_removal(run["step"]), run


def is_removal(step: str) -> bool:
    return "DELETE" in step or "commit" in step
