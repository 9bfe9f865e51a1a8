"""Savepoints within a batch, and quarantined items by atomic runs."""

from __future__ import annotations

from typing import Any

import pytest

from celery_graceful.execution import ending
from celery_graceful.model.run.record import RunKey
from celery_graceful.runs import quarantined_items
from tests.integration.atomic.project import Project, new_id, own_task


def test_a_savepoint_that_comes_first_is_not_the_transaction(project: Project) -> None:
    """Else its end would commit what the batch, which fails later, has to undo."""

    def each(task: Any, item: int) -> None:
        with project.savepoint(task):
            project.write(task, item)
        if item == 1:
            raise ZeroDivisionError

    own_task(project, each)
    assert project.deliver(new_id(), task="proj.own").info.state == "FAILURE"
    assert project.effects("item") == {}


def test_an_item_put_aside_leaves_no_trace_in_the_batch(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item in (0, 2):
            raise ZeroDivisionError(f"item {item}")

    own_task(project, each, max_failed_items=2)
    run = new_id()
    assert project.deliver(run, task="proj.own").info is None
    assert project.effects("item") == {1: 1, 3: 1}
    found = list(quarantined_items.found(project.runtime.store, RunKey("proj.own", run)))
    assert [(entry.ordinal, entry.before, entry.cursor) for entry in found] == [
        (0, None, 0),
        (2, 1, 2),
    ]
    assert "ZeroDivisionError: item 2" in found[1].traceback


def test_crashes_leave_no_item_aside_that_is_done_later(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """What a signal that ends the process would raise."""

    monkeypatch.setattr(ending, "is_stop", lambda exc, *_: isinstance(exc, Killed))

    broken = True

    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 1 and broken:
            raise ZeroDivisionError
        if item == 2 and broken:
            raise Killed

    own_task(project, each, max_failed_items=2)
    run = new_id()
    with pytest.raises(Killed):
        project.deliver(run, task="proj.own")
    broken = False
    assert project.deliver(run, task="proj.own", redelivered=True).info is None
    assert project.effects("item") == {0: 1, 1: 1, 2: 1, 3: 1}
    assert list(quarantined_items.found(project.runtime.store, RunKey("proj.own", run))) == []
