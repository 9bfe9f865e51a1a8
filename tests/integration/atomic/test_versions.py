"""The row of an atomic run was written by code with another version of the cursor."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from typing import Any

from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, State

from .project import MakeProject, check_exact, new_id
from .tasks import TASK


def test_a_row_of_another_version_pauses_the_run_until_it_is_migrated(
    make_project: MakeProject,
) -> None:
    project = make_project()
    run = new_id()
    project.deliver(run, 8, "stops once")
    done, row = project.effects("item"), project.rows()
    cls: Any = type(project.app.tasks[TASK])
    cls.cursor_version = 2

    def deliver() -> Any:
        record = project.record(run)
        assert record is not None
        project.deliver(run, 8, "stops once", generation=record.generation)
        return project.record(run)

    for _ in range(2):
        record = deliver()
        assert record.state is State.PAUSED
        assert "cursor_version 1, and the code has 2" in record.reason
        assert (project.effects("item"), project.effects("stop").total()) == (done, 1)
        assert [(r.checkpoint, r.steps) for r in project.rows()] == [
            (r.checkpoint, r.steps) for r in row
        ]
        project.happen(run, ev.Resume())

    cls.migrate_cursor = lambda self, cursor, carry, version: cursor
    record = deliver()
    assert record.outcome is Outcome.COMPLETED
    check_exact(project)
