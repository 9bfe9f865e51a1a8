"""One cell of the table: a Celery release on a broker, compared test by test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.celery_suite.compare import MISSING, Trial, differing
from tests.celery_suite.outcomes import Session
from tests.celery_suite.sessions import Servers, Sessions
from tests.celery_suite.sources import FILES


@dataclass
class Cell:
    """What came out.

    Attributes:
        trials: the tests that differed at first, repeated on both sides.
        faults: why the comparison proves nothing.
    """

    version: str
    broker: str
    without: Session
    graceful: Session
    trials: list[Trial] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def real(self) -> list[Trial]:
        """Tests whose outcome the plugin changes."""
        return [trial for trial in self.trials if trial.is_real]

    @property
    def flaky(self) -> list[Trial]:
        """Tests that differ by chance."""
        return [trial for trial in self.trials if not trial.is_real]

    @property
    def is_good(self) -> bool:
        """Whether the plugin changed nothing, and was there."""
        return not (self.real or self.faults)


def compare(
    version: str,
    broker: str,
    *,
    python: Path,
    tree: Path,
    folder: Path,
    tests: Sequence[str] = FILES,
    repeats: int = 10,
    longest: float = 300,
    tell: Callable[[str], None] = print,
) -> Cell:
    """Run ``tests`` on both sides, and again ``repeats`` times those that differ.

    Args:
        longest: seconds after which a test is cut off, and fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with Servers(broker) as servers:
        sessions = Sessions(python, tree, folder, servers, longest)
        without, graceful = sessions.pair("all", tests)
        cell = Cell(version, broker, without, graceful)
        cell.faults += [f"without: {fault}" for fault in without.faults(graceful=False)]
        cell.faults += [f"with: {fault}" for fault in graceful.faults(graceful=True)]
        found = differing(without.outcomes, graceful.outcomes)
        if found and not cell.faults:
            tell(f"{len(found)} differ; running them {repeats} times more on both sides")
            cell.trials = _repeat(sessions, found, repeats)
    cell.seconds = time.monotonic() - began
    return cell


def _repeat(sessions: Sessions, tests: Sequence[str], repeats: int) -> list[Trial]:
    pairs = [sessions.pair(f"again-{number}", tests) for number in range(1, repeats + 1)]
    return [
        Trial(
            test,
            [without.outcomes.get(test, MISSING) for without, _ in pairs],
            [graceful.outcomes.get(test, MISSING) for _, graceful in pairs],
        )
        for test in tests
    ]
