"""Several executions of one run: the database takes the commits of one only."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from celery_graceful.errors import StoreUnavailable
from celery_graceful.model.run.reasons import StopReason
from celery_graceful.model.run.record import Outcome, State
from celery_graceful.stop import flag
from tests.harness.waiting import wait_for
from tests.integration.tasks.conftest import Faulty

from .killer import Watched
from .project import (
    MakeProject,
    Project,
    check_exact,
    interrupted_run,
    is_sqlite,
    new_id,
)

# -- other runners ---------------------------------------------------------------------------------


class Stalled:
    """A delivery in a thread of its own that stands still at a step."""

    def __init__(self, project: Project, run: str, at: str) -> None:
        self.there, self.go_on = threading.Event(), threading.Event()
        self.project, self.at = project, at
        self.thread = threading.Thread(target=self._deliver, args=(run,))
        project.step = self._step

    def _step(self, name: str) -> None:
        if name == self.at and threading.current_thread() is self.thread:
            self.at = ""
            self.there.set()
            assert self.go_on.wait(20)

    def _deliver(self, run: str) -> None:
        self.outcome = self.project.deliver(run, 8)

    def __enter__(self) -> Stalled:
        self.thread.start()
        assert self.there.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def watched(project: Project) -> None:
    """Have the project's steps tell of the store's calls as well."""
    store = Watched(project.runtime.store, lambda name: project.step(name))
    project.runtime.__dict__["store"] = store


@pytest.mark.parametrize(
    "at",
    ["start 0 begins", "item 0 begins", "item 3 begins", "item 4 is done", "complete 0 begins"],
)
def test_a_stalled_runner_is_rolled_back(
    project: Project, at: str, caplog: pytest.LogCaptureFixture
) -> None:
    if is_sqlite(project) and (project.alias or at in ("item 4 is done", "complete 0 begins")):
        pytest.skip("there it holds the lock of the whole database, and the other has to wait")
    run = new_id()
    with Stalled(project, run, at):
        project.resume(run, 8)
        check_exact(project)
    check_exact(project)
    assert "this execution ends without a trace" in caplog.text
    assert project.rows() == []
    record = project.record(run)
    assert record is not None
    assert record.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("at", ["after the store's swap", "before the store's load"])
def test_stalled_between_admission_and_claim(project: Project, at: str) -> None:
    if at == "before the store's load" and is_sqlite(project):
        pytest.skip("there it holds the lock of the whole database, and the other has to wait")
    watched(project)
    run = new_id()
    stalled = Stalled(project, run, at)
    stalled.thread.start()
    assert stalled.there.wait(10)
    if at == "after the store's swap":
        project.resume(run, 8)
        check_exact(project)
        stalled.__exit__()
    else:  # it holds the row's lock: the other waits for it
        first = project.record(run)
        assert first is not None
        other = threading.Thread(target=project.resume, args=(run, 8))
        other.start()
        record = project.record
        wait_for(lambda: (now := record(run)) is not None and now.fence > first.fence, 10)
        stalled.__exit__()
        other.join(20)
    check_exact(project)
    assert project.rows() == []


def hold_the_row(project: Project, connection: Any) -> None:
    if is_sqlite(project):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("UPDATE graceful_checkpoints SET fence = fence")


def test_a_claim_that_waits_goes_on(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    run = interrupted_run(project)
    with project.engine.connect() as other:
        hold_the_row(project, other)
        thread = threading.Thread(target=project.resume, args=(run, 8, "stops once"))
        thread.start()
        wait_for(lambda: "waits before its first item" in caplog.text, 10)
    thread.join(20)
    check_exact(project)


def test_a_claim_that_waits_sees_a_stop(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    run = interrupted_run(project)
    caplog.set_level(logging.INFO)
    with project.engine.connect() as other:
        hold_the_row(project, other)
        stop = flag.owned("another@host/1")
        stop.release()
        thread = threading.Thread(target=project.deliver, args=(run, 8), kwargs={"generation": 1})
        thread.start()
        wait_for(lambda: "waits before its first item" in caplog.text, 10)
        stop.raise_(StopReason.SHUTDOWN)
        thread.join(30)
        assert not thread.is_alive()
        record = project.record(run)
        assert record is not None
        assert (record.state, record.generation) == (State.INTERRUPTED, 2)
        assert record.steps == project.effects("item").total()
    assert project.effects("stop").total() == 1, "the second execution has not begun"
    project.resume(run, 8)
    check_exact(project)


def test_the_store_is_away_at_the_claim(make_project: MakeProject) -> None:
    project = make_project(graceful_lease_ttl=1)
    store = Faulty(project.runtime.store)
    project.runtime.__dict__["store"] = store

    def away(run: Any) -> Any:
        raise StoreUnavailable("away")

    store.load = away  # type: ignore[attr-defined]
    run = new_id()
    project.deliver(run, 8)
    assert project.effects("start") == {}
    assert project.rows() == []
    del store.load
    project.resume(run, 8)
    check_exact(project)
