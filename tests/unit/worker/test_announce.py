"""What a worker's log says of maintenance."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery

from celery_graceful.model.maintenance.mode import Hold, Kind, Mode, Scope
from celery_graceful.worker.maintenance.announce import Announcer
from celery_graceful.worker.maintenance.known_mode import KnownMode


@pytest.fixture
def announcer() -> Announcer:
    worker = SimpleNamespace(
        hostname="w1@host", app=Celery("shop", set_as_current=False), consumer=None
    )
    return Announcer(worker)


@pytest.mark.parametrize(
    ("begun", "line"),
    [
        (0, "Maintenance: this worker holds everything (by ann, move)"),
        (
            1,
            "Maintenance: this worker holds everything (by ann, move); 1 earlier task is running",
        ),
        (
            2,
            "Maintenance: this worker holds everything (by ann, move); 2 earlier tasks are running",
        ),
    ],
)
def test_only_tasks_that_run_are_counted(
    announcer: Announcer, begun: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold(Scope(Kind.ALL), who="ann", reason="move", since=1.0)
    announcer.announce(KnownMode(Mode(version=1, holds=(hold,))), begun)
    announcer.announce(KnownMode(Mode(version=2)), 0)
    entered, left = caplog.messages
    assert entered == line
    assert left.startswith("Maintenance is over after ")
    assert left.endswith(": this worker starts tasks again")
