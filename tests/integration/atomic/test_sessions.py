"""What a session has to be, and what items may do with it; runs without a worker."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import scoped_session, sessionmaker

from celery_graceful import Atomic
from celery_graceful.errors import NoRunError
from celery_graceful.stop import flag

from .project import (
    MakeProject,
    Project,
    check_exact,
    commits_of,
    new_id,
    own_task,
)
from .tasks import GENERATOR, TASK, effects

# -- sessions --------------------------------------------------------------------------------------


def test_a_scoped_session_is_the_same_one_everywhere(project: Project) -> None:
    scoped = scoped_session(project.session)
    scoped.execute(text("SELECT 1"))  # left open by some other task of the thread

    def each(task: Any, item: int) -> None:
        assert scoped() is task.transaction.session
        scoped.execute(insert(effects), {"kind": "item", "item": item})

    own_task(project, each, atomic=Atomic.sqlalchemy(scoped, every=2))
    assert project.deliver(new_id(), task="proj.own").info is None
    assert project.effects("item") == {0: 1, 1: 1, 2: 1, 3: 1}
    assert not scoped.registry.has()


def test_a_function_that_returns_sessions(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        task.transaction.session.execute(insert(effects), {"kind": "item", "item": item})

    own_task(project, each, atomic=Atomic.sqlalchemy(lambda: project.session(), every=2))
    assert project.deliver(new_id(), task="proj.own").info is None
    assert project.effects("item").total() == 4


def test_no_transaction_outside_of_a_run(project: Project) -> None:
    task = project.app.tasks[TASK]
    with pytest.raises(NoRunError, match="only while a run is under way"):
        _ = task.transaction
    done = own_task(project, lambda task, item: task.transaction.session, atomic=None)
    with pytest.raises(NoRunError, match="only in an atomic run"):
        done()


def test_connections_are_given_back(project: Project) -> None:
    project.resume(new_id(), 8, "fails once")
    assert project.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


# -- without a worker ------------------------------------------------------------------------------


def test_called_directly(make_project: MakeProject) -> None:
    project = make_project(every=3)
    flag.withdraw()
    commits = commits_of(project)
    assert project.app.tasks[TASK](8) == {"sum": 28}
    check_exact(project)
    assert commits == [3, 6, 8]
    assert project.rows() == []


@pytest.mark.parametrize("what", ["fails once", "retries once"])
@pytest.mark.parametrize("task", [TASK, GENERATOR])
def test_eager_retries(make_project: MakeProject, task: str, what: str) -> None:
    project = make_project(task_always_eager=True)
    project.app.tasks[task].delay(8, what)
    check_exact(project)


def test_a_direct_call_that_fails(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        task.transaction.session.execute(insert(effects), {"kind": "item", "item": item})
        if item == 3:
            raise ValueError("no")

    task = own_task(project, each, atomic=Atomic.sqlalchemy(project.session, every=2))
    with pytest.raises(ValueError, match="no"):
        task()
    assert project.effects("item") == {0: 1, 1: 1}


def test_a_database_that_is_away(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project()
    nowhere = create_engine(f"sqlite:///{tmp_path}/no/such/folder.db")
    own_task(project, lambda task, item: None, atomic=Atomic.sqlalchemy(sessionmaker(nowhere)))
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, OperationalError)
