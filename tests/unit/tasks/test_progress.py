"""PROGRESS: one writer, never over what others wrote, never in the way of a run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from celery_graceful.execution import leaving
from celery_graceful.execution.leaving.successor import publish_successor
from celery_graceful.execution.results.progress import ProgressReport
from celery_graceful.execution.results.state_writer import Slot, close_writer, state_writer
from celery_graceful.model.run.verdict import Verdict

PROGRESS: Any = SimpleNamespace(current=1, total=2, percent=50.0)
OURS = {"current": 0, "total": 2, "percent": 0.0}


class Backend:
    """A result backend that keeps one state, and may be frozen until it is asked to answer."""

    def __init__(self) -> None:
        self.thaw = threading.Event()
        self.thaw.set()
        self.state = "PENDING"
        self.result: Any = None
        self.written: list[str] = []
        self.threads: set[int] = set()

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        self.thaw.wait(30)
        return {"status": self.state, "result": self.result}

    def store_result(self, task_id: str, meta: Any, state: str, **options: Any) -> None:
        self.threads.add(threading.get_ident())
        self.state, self.result = state, meta
        self.written.append(state)


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.thaw.set()
    close_writer()


def report_to(backend: Any) -> ProgressReport:
    task: Any = SimpleNamespace(name="shop.walk", ignore_result=False, backend=backend)
    request: Any = SimpleNamespace(id="1")
    return ProgressReport(task, request, True, every=0.0, valid_for=30.0)


@pytest.fixture
def report(backend: Backend) -> ProgressReport:
    return report_to(backend)


def sent(report: ProgressReport, progress: Any = PROGRESS) -> None:
    """Send, and wait until the writer has dealt with it."""
    report.send(progress)
    slot = report._slot
    assert slot is None or state_writer().wait(slot, 30)


def test_all_runs_of_a_process_share_one_thread(backend: Backend) -> None:
    for each in [report_to(backend) for _ in range(5)]:
        sent(each)
        sent(each)
    assert backend.written == ["PROGRESS"] * 10
    assert len(backend.threads) == 1, "a thread for each has a connection for each"


def test_a_run_that_nobody_counts_writes_nothing(backend: Backend, report: ProgressReport) -> None:
    sent(report, SimpleNamespace(current=1, total=None, percent=None))
    assert backend.written == []


@pytest.mark.parametrize(
    ("state", "result", "written"),
    [
        ("PENDING", None, True),
        ("STARTED", {"pid": 1}, True),
        ("RETRY", None, True),
        ("PROGRESS", OURS, True),
        ("PROGRESS", {"done": 3}, False),
        ("PROGRESS", None, False),
        ("ABORTED", None, False),
        ("UPLOADING", {"current": 3}, False),
        ("SUCCESS", 7, False),
        ("FAILURE", ValueError(), False),
        ("REVOKED", None, False),
    ],
)
def test_the_state_of_somebody_else_stays(
    backend: Backend, report: ProgressReport, state: str, result: Any, written: bool
) -> None:
    backend.state, backend.result = state, result
    sent(report)
    assert bool(backend.written) is written


def test_a_silent_backend_makes_later_ones_replace_those_that_wait(
    backend: Backend, report: ProgressReport
) -> None:
    backend.thaw.clear()
    for current in range(1, 100):
        meta: Any = SimpleNamespace(current=current, total=100, percent=1.0 * current)
        report.send(meta)
    backend.thaw.set()
    report.settle(30)
    assert len(backend.written) <= 2
    assert backend.result["current"] == 99


def test_the_outcome_waits_for_what_is_under_way_and_drops_the_rest(backend: Backend) -> None:
    backend.thaw.clear()
    first, second = report_to(backend), report_to(backend)
    first.send(PROGRESS)
    second.send(PROGRESS)
    second.settle()  # the writer is at the first one's, so this does not wait
    backend.thaw.set()
    first.settle(30)
    assert len(backend.written) <= 1


def test_a_closed_writer_leaves_no_thread() -> None:
    backend = Backend()
    sent(report_to(backend))
    close_writer()
    assert "celery-graceful-states" not in {thread.name for thread in threading.enumerate()}
    sent(report_to(backend))  # another worker of this process
    assert backend.written == ["PROGRESS"] * 2
    close_writer()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_a_writer_of_its_own(backend: Backend) -> None:
    sent(report_to(backend))
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            sent(report_to(backend))
            os.write(writer, b"%d" % len(backend.written))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"2"


def test_a_backend_that_is_silent_is_waited_for_no_longer_than_said(
    backend: Backend, report: ProgressReport, caplog: pytest.LogCaptureFixture
) -> None:
    backend.thaw.clear()
    report.send(PROGRESS)
    began = time.monotonic()
    report.settle(0.1)
    assert time.monotonic() - began < 5
    assert "has not taken a PROGRESS" in caplog.text


def test_nothing_is_sent_once_it_was_stopped(backend: Backend, report: ProgressReport) -> None:
    report.stop()
    report.send(PROGRESS)
    report.settle()
    assert backend.written == []


def test_an_execution_that_leaves_is_safe_before_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    note = done.append
    run: Any = SimpleNamespace(
        request=SimpleNamespace(),
        key="run",
        task=SimpleNamespace(),
        execution=SimpleNamespace(
            id="1",
            details={"task_id": "1"},
            work=SimpleNamespace(began=False),
            cursor=1,
            steps=1,
        ),
        flag=SimpleNamespace(owner_pid=0, solo=False, raised=False),
        report=SimpleNamespace(stop=lambda: note("stop"), settle=lambda s: note(("settle", s))),
        ticket=SimpleNamespace(
            runtime=SimpleNamespace(settings=SimpleNamespace(release_timeout=7.0)),
            check_successor=lambda: None,
        ),
    )

    def hand_over(*args: Any, **options: Any) -> Any:
        note("saved")
        return SimpleNamespace(verdict=Verdict.PUBLISH)

    monkeypatch.setattr(leaving, "no_longer_cut", lambda request: None)
    monkeypatch.setattr(leaving, "hand_over", hand_over)
    run.ticket.publish = lambda: note("published")
    with pytest.raises(Ignore):
        leaving.leave(run, "max_execution_time")
    assert done == ["stop", "saved", ("settle", 7.0), "published"]


def test_it_is_sent_again_once_a_refused_hand_over_was_taken_back(
    backend: Backend, report: ProgressReport
) -> None:
    report.settle()
    sent(report)
    assert backend.written == []
    report.resume()
    sent(report)
    assert backend.written == ["PROGRESS"]


def test_a_write_that_raises_ends_nobody_elses(backend: Backend, report: ProgressReport) -> None:
    def broken() -> None:
        raise RuntimeError("a backend's own trouble")

    state_writer().put(Slot(), broken)
    sent(report)
    assert backend.written == ["PROGRESS"]


def test_an_execution_that_the_broker_took_nothing_of_reports_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    run: Any = SimpleNamespace(
        request=SimpleNamespace(),
        report=SimpleNamespace(resume=lambda: done.append("resume")),
        flag=SimpleNamespace(raised=False),
        stops=SimpleNamespace(hold_on=lambda: done.append("hold on")),
        key="run",
        ticket=SimpleNamespace(
            runtime=SimpleNamespace(settings=SimpleNamespace(release_timeout=7.0))
        ),
        execution=SimpleNamespace(cursor=1, steps=1),
    )

    def refused() -> None:
        raise OperationalError("no broker")

    run.ticket.publish = refused
    run.ticket.reclaim = lambda: SimpleNamespace(verdict=Verdict.RESUME)
    publish_successor(run, "shutdown")
    assert done == ["resume", "hold on"]
