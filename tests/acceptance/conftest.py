"""A stage for each test, and figures that are printed at the end of the session."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.runs import Stage

Figure = Callable[[str, float], None]

_FIGURES = pytest.StashKey[dict[str, list[float]]]()


@pytest.fixture
def stage(broker_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on each kind of broker; store and results are on Redis."""
    with Stage(broker_url, redis_url, tmp_path).open() as stage:
        yield stage


@pytest.fixture
def redis_stage(redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage that is all on one Redis."""
    with Stage(redis_url, redis_url, tmp_path).open() as stage:
        yield stage


@pytest.fixture
def figure(request: pytest.FixtureRequest, record_property: Callable[..., None]) -> Figure:
    """Keep a measured time: ``figure(what, seconds)``."""

    def keep(what: str, seconds: float) -> None:
        record_property(what, round(seconds, 3))
        request.config.stash.setdefault(_FIGURES, {}).setdefault(what, []).append(seconds)

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the times that were measured."""
    figures = terminalreporter.config.stash.get(_FIGURES, {})
    if not figures:
        return
    terminalreporter.section("measured times in seconds")
    width = max(len(what) for what in figures)
    terminalreporter.write_line(f"{'':{width}}      n  median   worst")
    for what, seconds in sorted(figures.items()):
        terminalreporter.write_line(
            f"{what:{width}}  {len(seconds):5}  {statistics.median(seconds):6.3f}"
            f"  {max(seconds):6.3f}"
        )
