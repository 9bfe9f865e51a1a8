"""pytest plugin: writes each report, and what of celery-graceful the session worker runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from typing import Any

import pytest

RECORD = os.environ["CELERY_SUITE_RECORD"]
#: Seconds that a test may take, where it allows itself longer.
LONGEST = float(os.environ["CELERY_SUITE_LONGEST"])
OURS = "celery_graceful."
#: Seconds for the worker's answer to ``celery inspect graceful``.
ANSWER = 20.0
_BEGAN = time.monotonic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        own = item.get_closest_marker("timeout")
        if own is None or next(iter((*own.args, *own.kwargs.values()))) > LONGEST:
            item.add_marker(pytest.mark.timeout(LONGEST), append=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _write(
        kind="report",
        test=report.nodeid,
        when=report.when,
        outcome=report.outcome,
        expected=hasattr(report, "wasxfail"),
        why=_why(report),
    )


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _write(kind="broken", test=report.nodeid, why=str(report.longrepr))


def pytest_sessionfinish(exitstatus: int) -> None:
    _write(kind="end", code=int(exitstatus), seconds=time.monotonic() - _BEGAN)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any],
) -> Generator[None, object, object]:
    """Look at the worker that all tests share as soon as it has started."""
    value = yield
    if fixturedef.argname == "celery_session_worker":
        _write(kind="worker", pid=os.getpid(), **_seen(value))
    return value


def _seen(worker: Any) -> dict[str, Any]:
    steps = [*_ours(worker.steps), *_ours(worker.consumer.steps)]
    answers = None
    if steps:
        answers = worker.app.control.broadcast("graceful", reply=True, limit=1, timeout=ANSWER)
    return {"steps": steps, "answers": answers}


def _ours(steps: list[Any]) -> list[str]:
    return sorted(type(step).__name__ for step in steps if type(step).__module__.startswith(OURS))


def _why(report: pytest.TestReport) -> str:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    return "" if crash is None else str(crash.message).partition("\n")[0]


def _write(**line: Any) -> None:
    with open(RECORD, "a") as record:
        record.write(json.dumps(line, default=str) + "\n")
