"""``continue_as`` where nothing can be published: it goes on here, and so must not see the stop."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from celery_graceful import GracefulTask, stopping
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.stop import flag


@pytest.fixture
def stopped_worker() -> Iterator[None]:
    """This process is a worker that stops."""
    flag.owned("celery@test").raise_(StopReason.SHUTDOWN)
    yield
    flag.withdraw()


@pytest.mark.parametrize("way", ["call", "apply"])
def test_it_runs_to_its_end_in_a_worker_that_stops(
    app: Any, stopped_worker: None, way: str
) -> None:
    @app.task(base=GracefulTask, bind=True)
    def add_up(self: Any, left: int, total: int = 0) -> Any:
        while left:
            if stopping():
                return self.continue_as(left, total)
            left, total = left - 1, total + left
        return total

    result = add_up(4) if way == "call" else add_up.apply((4,)).get()
    assert result == 10
    assert stopping() == "shutdown"
