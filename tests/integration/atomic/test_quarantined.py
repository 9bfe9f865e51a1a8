"""Items quarantined by atomic runs, where their database or their retries interfere."""

from __future__ import annotations

from typing import Any

import pytest

from celery_graceful.errors import TransactionError
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs import quarantined_items
from tests.integration.atomic.project import Project, is_sqlite, new_id, own_task


def listed(project: Project, run: str) -> list[int]:
    found = quarantined_items.found(project.runtime.store, RunKey("proj.own", run))
    return [entry.ordinal for entry in found]


def test_a_database_that_undoes_the_batch_loses_nothing_in_silence(project: Project) -> None:
    if not is_sqlite(project):
        pytest.skip("a conflict clause of SQLite's")
    undo = "INSERT OR ROLLBACK INTO effects (number) SELECT number FROM effects LIMIT 1"

    def each(task: Any, item: int) -> None:
        if item == 2:
            project.execute(task, undo)
        project.write(task, item)

    own_task(project, each, max_failed_items=2)
    run = new_id()
    assert project.deliver(run, task="proj.own").info.state == "FAILURE"
    assert project.effects("item") == {}, "all or nothing"
    assert listed(project, run) == []


def test_the_same_within_a_savepoint_of_the_users_own(project: Project) -> None:
    if not is_sqlite(project):
        pytest.skip("a conflict clause of SQLite's")
    undo = "INSERT OR ROLLBACK INTO effects (number) SELECT number FROM effects LIMIT 1"

    def each(task: Any, item: int) -> None:
        if item < 2:
            project.write(task, item)
            return
        try:
            with project.savepoint(task):
                project.execute(task, undo)
        except Exception:
            return

    own_task(project, each)
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, TransactionError)
    assert project.effects("item") == {}


def test_what_is_retried_is_quarantined_when_the_budget_is_spent(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 2:
            raise ZeroDivisionError

    options = {"autoretry_for": (ZeroDivisionError,), "max_retries": 2, "retry_backoff": 0}
    own_task(project, each, max_failed_items=2, **options)
    run = new_id()
    states = []
    for n in range(3):
        info = project.deliver(run, task="proj.own", generation=n, retries=n).info
        states.append(None if info is None else info.state)
    assert states == ["RETRY", "RETRY", None]
    assert project.effects("item") == {0: 1, 1: 1, 3: 1}
    assert listed(project, run) == [2]


def test_a_run_that_fails_lists_what_lies_before_its_cursor(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item in (0, 1, 3):
            raise ZeroDivisionError

    own_task(project, each, max_failed_items=2)
    run = new_id()
    assert project.deliver(run, task="proj.own").info.state == "FAILURE"
    record = project.runtime.store.load(RunKey("proj.own", run)).record
    assert record is not None
    assert all(ordinal < record.steps for ordinal in listed(project, run))
