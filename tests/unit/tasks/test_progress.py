"""PROGRESS never holds up a leg that has to leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore

from celery_graceful.model.verdict import Verdict
from celery_graceful.tasks import exits
from celery_graceful.tasks.progress import ProgressReport

PROGRESS: Any = SimpleNamespace(current=1, total=2, percent=50.0)


class Frozen:
    """A result backend that answers when it is told to."""

    def __init__(self) -> None:
        self.thaw = threading.Event()
        self.written: list[str] = []

    def store_result(self, task_id: str, meta: Any, state: str, **options: Any) -> None:
        self.thaw.wait(30)
        self.written.append(state)


@pytest.fixture
def backend() -> Iterator[Frozen]:
    backend = Frozen()
    yield backend
    backend.thaw.set()


@pytest.fixture
def report(backend: Frozen) -> ProgressReport:
    task: Any = SimpleNamespace(name="shop.walk", ignore_result=False, backend=backend)
    request: Any = SimpleNamespace(id="1")
    return ProgressReport(task, request, True, every=0.0, valid_for=30.0)


def test_a_backend_that_is_silent_is_waited_for_no_longer_than_said(
    backend: Frozen, report: ProgressReport, caplog: pytest.LogCaptureFixture
) -> None:
    report.send(PROGRESS)
    began = time.monotonic()
    report.settle(0.1)
    assert time.monotonic() - began < 5
    assert "has not taken a PROGRESS" in caplog.text
    backend.thaw.set()
    report.settle()
    assert backend.written == ["PROGRESS"]


def test_nothing_is_sent_once_it_was_stopped(backend: Frozen, report: ProgressReport) -> None:
    report.stop()
    report.send(PROGRESS)
    report.settle()
    assert backend.written == []


def test_a_leg_that_leaves_is_safe_before_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    note = done.append
    leg: Any = SimpleNamespace(
        request=SimpleNamespace(),
        id="1",
        task=SimpleNamespace(),
        details={"task_id": "1"},
        began=False,
        flag=SimpleNamespace(owner_pid=0, solo=False, raised=False),
        report=SimpleNamespace(stop=lambda: note("stop"), settle=lambda s: note(("settle", s))),
        ticket=SimpleNamespace(
            runtime=SimpleNamespace(settings=SimpleNamespace(hand_over_timeout=7.0)), run="run"
        ),
        cursor=1,
        steps=1,
    )

    def hand_over(*args: Any, **options: Any) -> Any:
        note("saved")
        return SimpleNamespace(verdict=Verdict.PUBLISH)

    monkeypatch.setattr(exits, "no_longer_cut", lambda request: None)
    monkeypatch.setattr(exits, "_hand_over", hand_over)
    leg.ticket.publish = lambda: note("published")
    with pytest.raises(Ignore):
        exits.leave(leg, "max_leg_runtime")
    assert done == ["stop", "saved", ("settle", 7.0), "published"]
