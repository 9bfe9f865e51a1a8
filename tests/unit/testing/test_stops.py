"""``simulate_stop``: the code of a task sees a worker that stops."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import time
from typing import Any

import pytest

from celery_graceful import GracefulTask, sleep, stopping, time_left
from celery_graceful.testing import simulate_stop


def test_a_stop() -> None:
    with simulate_stop():
        assert stopping() == "shutdown"
        assert time_left() is None
        with simulate_stop("maintenance", time_left=60):
            assert stopping() == "maintenance"
            left = time_left()
            assert left is not None
            assert 50 < left <= 60
        assert stopping() == "shutdown"
    assert stopping() is None


def test_it_comes_after_some_looks() -> None:
    with simulate_stop(after=2):
        assert [stopping() for _ in range(4)] == [None, None, "shutdown", "shutdown"]


def test_sleep_returns_early() -> None:
    began = time.monotonic()
    with simulate_stop(after=2):
        assert sleep(60) == "shutdown"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("way", ["call", "apply"])
def test_a_task_that_continues_by_hand(app: Any, way: str) -> None:
    executions: list[tuple[int, int]] = []

    @app.task(base=GracefulTask, shared=False, bind=True)
    def export(self: Any, start: int, end: int) -> Any:
        for number in range(start, end):
            if stopping():
                executions.append((start, number))
                return self.continue_as(number, end)
        executions.append((start, end))
        return "done"

    with simulate_stop(after=3):
        result = export(0, 10) if way == "call" else export.apply((0, 10)).get()
    assert result == "done"
    assert executions == [(0, 3), (3, 10)]


def test_wrong_use() -> None:
    with (
        pytest.raises(ValueError, match="shutdown or maintenance, not for 'paused'"),
        simulate_stop("paused"),
    ):
        pass
    with pytest.raises(ValueError, match="0 or more, not -1"), simulate_stop(after=-1):
        pass
