"""Somebody who can write to the store, or to the task's database, puts a pickle there."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from celery_graceful import IterableTask
from celery_graceful.errors import CorruptRecord
from celery_graceful.model.run import events as ev
from celery_graceful.model.run.record import Outcome, RunKey, replace
from tests.unit.trust.attack import PICKLE, pickled, saved_result

from .project import MakeProject, Project, new_id
from .tasks import TASK

STORES = ["memory", "redis", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=STORES)
def project(request: pytest.FixtureRequest, make_project: Any, tmp_path: Path) -> Any:
    """A project whose runs are kept in each kind of store in turn, and that speaks JSON."""
    if request.param in ("memory", "sqlite"):
        urls = {"memory": f"memory://{uuid4()}", "sqlite": f"sqlite:///{tmp_path}/runs.db"}
        return make_project(store=urls[request.param])
    return make_project(store=request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


def finished_but_not_told(project: Project, result: str) -> tuple[Any, str]:
    """A run whose worker died between its end and the acknowledgement; returns task and id."""

    class Plain(IterableTask):
        name = "proj.plain"

        def build_enumerator(self, *, cursor: Any) -> Any:
            return ((n, n) for n in range(3))

        def each_iteration(self, item: int) -> None: ...

    task, run = project.app.register_task(Plain()), new_id()
    project.deliver(run, task=task.name)
    store, key = project.runtime.store, RunKey(task.name, run)
    there = store.load(key).record
    assert there is not None
    policy = project.runtime.policy
    forged = replace(
        there,
        state=type(there.state).FINISHING,
        outcome=Outcome.COMPLETED,
        owner=None,
        ended_at=None,
        kept_for=0.0,
        result=result,
    )
    assert store.swap(key, there.version, forged, due_in=policy.lease_ttl).done
    return task, run


@pytest.mark.parametrize("kind", ["result", "error"])
def test_a_pickle_in_place_of_a_saved_result(project: Project, tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    forged = saved_result(pickled(made), PICKLE, kind=kind)
    task, run = finished_but_not_told(project, forged)
    done = project.deliver(run, task=task.name, redelivered=True)
    assert not made.exists()
    assert isinstance(done.retval.exception, CorruptRecord)
    assert "x-python-serialize" in str(done.retval.exception)
    record = project.record(run, task.name)
    assert record is not None
    assert record.outcome is Outcome.FAILED  # said once, and not again and again


@pytest.mark.parametrize("own", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_pickle_in_place_of_the_result_in_an_atomic_row(
    make_project: MakeProject, tmp_path: Path, own: str, request: pytest.FixtureRequest
) -> None:
    from celery_graceful.atomic.alchemy_table import checkpoints

    made = tmp_path / "made"
    url = (
        f"sqlite:///{tmp_path}/own.db"
        if own == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    project = make_project(database=url)
    run = new_id()
    project.deliver(run, 8, "stops once")
    forged = saved_result(pickled(made), PICKLE).encode()
    with project.engine.begin() as connection:
        assert connection.execute(update(checkpoints).values(result=forged)).rowcount == 1
    record = project.record(run)
    assert record is not None
    if record.owner is not None:
        project.happen(run, ev.Release(record.owner, record.generation))
    done = project.deliver(run, 8, generation=record.generation)
    assert not made.exists()
    assert isinstance(done.retval.exception, CorruptRecord)
    record = project.record(run, TASK)
    assert record is not None
    assert record.outcome is Outcome.FAILED
