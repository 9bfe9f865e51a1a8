"""Atomic runs: work and checkpoint are committed together, or not at all."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from celery_graceful import Atomic, IterableTask
from celery_graceful.errors import CursorError, TransactionError
from celery_graceful.execution.loop.current import current_execution
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.cursor import decode
from celery_graceful.model.run.record import Outcome, State
from tests.harness.waiting import wait_for

from .killer import Watched
from .project import (
    MakeProject,
    Project,
    check_exact,
    commits_of,
    new_id,
    own_task,
)
from .tasks import GENERATOR, TASK

# -- a run from its begin to its end ---------------------------------------------------------------


@pytest.mark.parametrize("task", [TASK, GENERATOR])
@pytest.mark.parametrize("store", ["memory", "sql", "redis"])
def test_a_run(
    make_project: MakeProject, task: str, store: str, tmp_path: Path, redis_url: str
) -> None:
    urls = {
        "memory": f"memory://{new_id()}",
        "sql": f"sqlite:///{tmp_path}/store.db",
        "redis": redis_url,
    }
    project = make_project(store=urls[store])
    run = new_id()
    assert project.resume(run, 8, "stops once", task=task).retval == {"sum": 28}
    check_exact(project)
    assert project.effects("stop").total() == 1
    record = project.record(run, task)
    assert record is not None
    assert (record.outcome, record.steps, record.resumptions) == (Outcome.COMPLETED, 8, 1)
    assert project.rows() == []


def test_batches(make_project: MakeProject) -> None:
    project = make_project(every=3)
    project.app.tasks[TASK].__class__.checkpoint_interval = 60
    commits = commits_of(project)
    project.deliver(new_id(), 8)
    assert commits == [3, 6, 8]  # two full batches, the end


def test_a_batch_larger_than_the_loop_looks_up_by_itself(make_project: MakeProject) -> None:
    project = make_project(every=1500)
    project.app.tasks[TASK].__class__.checkpoint_interval = 60
    commits = commits_of(project)
    project.deliver(new_id(), 3200)
    assert commits == [1500, 3000, 3200]


def test_batches_by_time(make_project: MakeProject) -> None:
    project = make_project(every="10ms")
    project.app.tasks[TASK].__class__.checkpoint_interval = 60
    commits = commits_of(project)

    def last_until_the_batch_is_due(name: str) -> None:
        execution: Any = current_execution.get()
        if name.startswith("item") and name.endswith("done") and execution is not None:
            wait_for(lambda: not execution.fuse, 5)

    project.step = last_until_the_batch_is_due
    project.deliver(new_id(), 3)
    assert commits[:3] == [1, 2, 3]


def test_the_store_is_never_ahead(project: Project) -> None:
    ahead = []

    def step(name: str) -> None:
        if name == "before the store's checkpoint":
            ahead.append(project.effects("item").total())

    watched = project.runtime.store
    answers = []

    class Watching(Watched):
        def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
            (row,) = project.rows()
            answers.append(decode(args[2]).steps - row.steps)
            return watched.checkpoint(*args, **kwargs)

    project.runtime.__dict__["store"] = Watching(watched, step)
    project.deliver(new_id(), 30)
    assert answers
    assert set(answers) == {0}


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [TASK, GENERATOR])
@pytest.mark.parametrize("what", ["fails once", "retries once"])
def test_a_retry_goes_on_at_the_last_commit(project: Project, task: str, what: str) -> None:
    run = new_id()
    project.deliver(run, 8, what, task=task)
    record = project.record(run, task)
    assert record is not None
    assert record.state is State.RETRYING
    assert project.effects("item") == dict.fromkeys(range(record.steps), 1)
    assert record.steps <= 5
    project.resume(run, 8, what, task=task)
    check_exact(project)


def test_an_error_of_the_database_is_the_items(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 2 and project.once("failed"):
            project.execute(task, "SELECT * FROM nowhere")

    own_task(project, each, autoretry_for=(Exception,), retry_backoff=False)
    run = new_id()
    project.deliver(run, task="proj.own")
    assert project.effects("item").total() < 3
    project.resume(run, task="proj.own")
    assert project.effects("item") == {0: 1, 1: 1, 2: 1, 3: 1}


def test_a_final_error_removes_the_row(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        if item == 3:
            raise ValueError("no")

    own_task(project, each, atomic=project.atomically(every=2))
    run = new_id()
    done = project.deliver(run, task="proj.own")
    assert done.info.state == "FAILURE"
    assert project.effects("item") == {0: 1, 1: 1}
    assert project.rows() == []


@pytest.mark.parametrize("call", ["commit", "rollback", "close"])
def test_hands_off_the_transaction(project: Project, call: str) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item)
        getattr(task.transaction.session, call)()

    own_task(project, each, autoretry_for=(Exception,))
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, TransactionError)
    assert "proj.own is atomic" in str(done.info.retval)
    assert call in str(done.info.retval)
    assert project.effects("item") == {}


def test_a_savepoint_for_what_may_fail(project: Project) -> None:
    def each(task: Any, item: int) -> None:
        project.write(task, item, number=item + 1)
        with pytest.raises(project.errors["IntegrityError"]), project.savepoint(task):
            project.write(task, item, number=item + 1)

    own_task(project, each)
    project.deliver(new_id(), task="proj.own")
    assert project.effects("item") == {0: 1, 1: 1, 2: 1, 3: 1}


def test_autocommit_is_refused(project: Project) -> None:
    if project.alias:
        pytest.skip("there it is the other way round: test_django_connections.py")
    engine = project.engine.execution_options(isolation_level="AUTOCOMMIT")
    atomic = Atomic.sqlalchemy(sessionmaker(engine), every=2)
    own_task(project, lambda task, item: None, atomic=atomic)
    done = project.deliver(new_id(), task="proj.own")
    assert isinstance(done.info.retval, TransactionError)
    assert "autocommit" in str(done.info.retval)


def test_a_cursor_that_stands_still(project: Project) -> None:
    class Pages(IterableTask):
        name = "proj.pages"
        atomic = project.atomic

        def build_enumerator(self, *, cursor: Any) -> Any:
            return iter([("a", None), ("b", 1), ("c", 1), ("d", 2)])

        def each_iteration(self, item: str) -> None:
            project.write(self, 0, kind=item)

    project.app.register_task(Pages())
    done = project.deliver(new_id(), task="proj.pages")
    assert isinstance(done.info.retval, CursorError)
    assert "make a page the item" in str(done.info.retval)
    assert project.effects("a") == {}


# -- requests of operators -------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [ev.Cancel(), ev.Pause()])
def test_a_request(project: Project, request_: Any) -> None:
    run = new_id()

    def step(name: str) -> None:
        if name == "item 4 is done":
            project.step = lambda name: None
            project.happen(run, request_)

    project.step = step
    project.deliver(run, 1000)
    record = project.record(run)
    assert record is not None
    assert record.steps == project.effects("item").total()
    cancelled = isinstance(request_, ev.Cancel)
    assert record.state is (State.ENDED if cancelled else State.PAUSED)
    assert project.effects("cancel").total() == int(cancelled)
    assert project.effects("stop").total() == int(not cancelled)
    assert len(project.rows()) == int(not cancelled)
