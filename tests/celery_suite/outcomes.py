"""What a session of Celery's tests recorded: the outcome of each test, and the worker it had."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery_graceful.plugin import GATE, MAINTENANCE, STEP
from tests.harness.line_files import whole_lines

OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
#: The steps that a worker with the plugin has to have, and that a worker without has not.
STEPS = {name.rpartition(":")[2] for name in (STEP, MAINTENANCE, GATE)}


@dataclass
class Session:
    """One session of pytest.

    Attributes:
        outcomes: of each test, one of ``OUTCOMES``.
        reasons: the first line of why a test did not pass.
        broken: files that could not be collected, and why.
        workers: what was seen of each session worker.
        installed: processes that created an app with ``Graceful(app)``, and how many.
        seconds: how long it took.
        ended: whether pytest came to its end.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    installed: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    ended: bool = False

    def count(self, outcome: str) -> int:
        """How many tests had this outcome."""
        return sum(found == outcome for found in self.outcomes.values())

    def faults(self, *, graceful: bool) -> list[str]:
        """Why the session proves nothing about the plugin; empty when it does."""
        found = [f"{test} could not be collected: {why}" for test, why in self.broken.items()]
        if not self.ended:
            found.append("pytest did not come to its end; its log says why")
        if not self.outcomes:
            found.append("no test ran")
        if graceful:
            found += [fault for worker in self.workers for fault in _inactive(worker)]
            if not self.installed:
                found.append("no app got Graceful(app)")
        elif self.installed or any(worker["steps"] for worker in self.workers):
            found.append("the plugin was installed in the session that is to be without it")
        return found


def _inactive(worker: dict[str, Any]) -> Iterable[str]:
    missing = STEPS - set(worker["steps"])
    if missing:
        yield f"the session worker ran without {', '.join(sorted(missing))}"
    replies = [reply for answer in worker["answers"] or [] for reply in answer.values()]
    if not replies:
        yield "the session worker did not answer `inspect graceful`"
    for reply in replies:
        if "report" not in reply:
            yield f"the session worker answered `inspect graceful` with {reply}"


def read(record: Path) -> Session:
    """The session that wrote this file."""
    session = Session()
    reports: dict[str, list[dict[str, Any]]] = {}
    for line in whole_lines(record):
        entry = json.loads(line)
        kind = entry.pop("kind")
        if kind == "report":
            reports.setdefault(entry["test"], []).append(entry)
        elif kind == "broken":
            session.broken[entry["test"]] = entry["why"]
        elif kind == "worker":
            session.workers.append(entry)
        elif kind == "installed":
            session.installed[entry["pid"]] += 1
        elif kind == "end":
            session.ended, session.seconds = True, entry["seconds"]
    for test, found in reports.items():
        session.outcomes[test], session.reasons[test] = _outcome(found)
    return session


def _outcome(reports: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Of the reports of one test: setup, call, subtests, teardown."""
    for report in reports:
        if report["outcome"] == "failed":
            return ("failed" if report["when"] == "call" else "error"), report["why"]
    for report in reports:
        if report["outcome"] == "skipped":
            return ("xfailed" if report["expected"] else "skipped"), report["why"]
    if any(report["expected"] for report in reports):
        return "xpassed", ""
    return "passed", ""
