"""One thread looks after all executions of a process: the trouble of one is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from celery_graceful.execution.loop import ticker
from tests.harness.waiting import wait_for


class Execution:
    """Counts its ticks."""

    def __init__(self, fails: Callable[[], BaseException] | None = None) -> None:
        self.fails = fails
        self.ticks = self.failures = 0

    def tick(self, now: float) -> None:
        self.ticks += 1
        if self.fails is not None:
            raise self.fails()

    def tick_failed(self) -> None:
        self.failures += 1


@pytest.fixture
def enlisted() -> Iterator[Callable[[Execution], Execution]]:
    made: list[Execution] = []

    def enlist(execution: Execution) -> Execution:
        made.append(execution)
        ticker.enlist(execution)
        return execution

    yield enlist
    for execution in made:
        ticker.leave(execution)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, RecursionError])
def test_an_execution_whose_tick_raises_stops_no_other(
    enlisted: Callable[[Execution], Execution],
    caplog: pytest.LogCaptureFixture,
    error: Callable[[], BaseException],
) -> None:
    faulty, sound = enlisted(Execution(error)), enlisted(Execution())
    wait_for(lambda: faulty.failures >= 3 and sound.ticks >= 3, 20, "several ticks of both")
    later = enlisted(Execution())
    wait_for(lambda: later.ticks > 0, 20, "a tick of one that began afterwards")
    told = [line for line in caplog.messages if "The look at Execution failed" in line]
    assert len(told) == 1
    assert faulty.failures >= 3, "it is told each time, to look for itself"
