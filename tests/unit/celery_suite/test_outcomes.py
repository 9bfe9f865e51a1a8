"""What a session of Celery's tests recorded is read as pytest counts it, and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.celery_suite.outcomes import Session, read

GOOD: dict[str, Any] = {
    "steps": ["GateStep", "GracefulStep", "MaintenanceStep"],
    "answers": [{"worker": {"report": {}}}],
}


def _read(tmp_path: Path, *lines: dict[str, Any]) -> Session:
    record = tmp_path / "record.jsonl"
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read(record)


def _report(when: str, outcome: str, *, expected: bool = False) -> dict[str, Any]:
    shared = {"kind": "report", "test": "a", "why": f"{when} {outcome}"}
    return {**shared, "when": when, "outcome": outcome, "expected": expected}


@pytest.mark.parametrize(
    ("call", "teardown", "expected", "outcome"),
    [
        ("passed", "passed", False, "passed"),
        ("failed", "passed", False, "failed"),
        ("passed", "failed", False, "error"),
        ("skipped", "passed", False, "skipped"),
        ("skipped", "passed", True, "xfailed"),
        ("passed", "passed", True, "xpassed"),
    ],
)
def test_outcomes(tmp_path: Path, call: str, teardown: str, expected: bool, outcome: str) -> None:
    session = _read(
        tmp_path,
        _report("setup", "passed"),
        _report("call", call, expected=expected),
        _report("teardown", teardown),
    )

    assert session.outcomes == {"a": outcome}


def test_a_subtest_that_fails_fails_its_test(tmp_path: Path) -> None:
    session = _read(tmp_path, _report("call", "failed"), _report("call", "passed"))

    assert session.outcomes == {"a": "failed"}
    assert session.reasons == {"a": "call failed"}


def _session(**attributes: Any) -> Session:
    session = Session(outcomes={"a": "passed"}, ended=True)
    for name, value in attributes.items():
        setattr(session, name, value)
    return session


def test_a_session_with_the_plugin_at_work_proves_something() -> None:
    session = _session(workers=[GOOD])
    session.installed[1] += 1

    assert session.faults(graceful=True) == []
    assert _session().faults(graceful=False) == []


@pytest.mark.parametrize(
    ("worker", "fault"),
    [
        ({**GOOD, "steps": ["GateStep"]}, "ran without GracefulStep, MaintenanceStep"),
        ({**GOOD, "answers": None}, "did not answer"),
        ({**GOOD, "answers": [{"worker": {"error": "no plugin"}}]}, "no plugin"),
    ],
)
def test_a_worker_whose_plugin_is_not_at_work_is_a_fault(worker: Any, fault: str) -> None:
    session = _session(workers=[worker])
    session.installed[1] += 1

    (found,) = session.faults(graceful=True)
    assert fault in found


def test_the_plugin_on_both_sides_is_a_fault() -> None:
    assert _session(workers=[GOOD]).faults(graceful=False)


def test_the_plugin_on_no_side_is_a_fault() -> None:
    assert _session().faults(graceful=True) == ["no app got Graceful(app)"]


def test_a_session_that_was_cut_off_is_a_fault(tmp_path: Path) -> None:
    session = _read(tmp_path, _report("call", "passed"))

    assert session.faults(graceful=False) == ["pytest did not come to its end; its log says why"]
