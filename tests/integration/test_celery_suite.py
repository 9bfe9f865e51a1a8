"""The comparison with Celery's own tests runs both sides as it says, and finds a difference."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.celery_suite.cells import compare

TESTS = """
import os, subprocess, sys
from celery import Celery

STEPS = "import celery; print(len(celery.Celery().steps['worker']))"

def test_same():
    assert Celery(broker=os.environ["TEST_BROKER"]).connection().connected is False

def test_app_has_the_plugin():
    assert Celery().steps["worker"]

def test_app_of_a_program_has_no_plugin():
    assert subprocess.check_output([sys.executable, "-c", STEPS], text=True) == "0\\n"
"""


def test_a_test_that_the_plugin_changes_is_found(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)

    cell = compare(
        "5.7.0",
        "redis",
        python=Path(sys.executable),
        tree=tmp_path,
        folder=tmp_path / "records",
        tests=["test_some.py"],
        repeats=0,
    )

    assert cell.faults == []
    assert cell.without.outcomes == {
        "test_some.py::test_same": "passed",
        "test_some.py::test_app_has_the_plugin": "failed",
        "test_some.py::test_app_of_a_program_has_no_plugin": "passed",
    }
    assert {trial.test.partition("::")[2] for trial in cell.real} == {
        "test_app_has_the_plugin",
        "test_app_of_a_program_has_no_plugin",
    }
    assert not cell.is_good
