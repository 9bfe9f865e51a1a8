"""``AsyncResult.children`` has the tasks that all executions of a run have started."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, group
from celery.result import AsyncResult

from celery_graceful import GracefulTask, IterableTask, stopping
from celery_graceful.execution.journal.child_tasks import MOST
from celery_graceful.model.run.record import RunKey
from celery_graceful.runtime import runtime_of
from tests.harness.delivered import InProcess

ITEMS = 60
STOPS = (3, 25)


@pytest.fixture(params=["cache", "redis", "db"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A result backend that keeps children, each kind in turn."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return "cache+memory://" if request.param == "cache" else f"db+sqlite:///{tmp_path}/results.db"


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Any]:
    wanted = "backend" in request.fixturenames
    backend = request.getfixturevalue("backend") if wanted else "cache+memory://"
    with Celery("proj", broker="memory://", backend=backend, set_as_current=False) as app:
        app.conf.update(graceful_store=f"memory://{uuid4()}")

        @app.task(name="proj.child", shared=False)
        def child() -> None:
            pass

        yield app


@pytest.fixture
def worker(app: Any) -> InProcess:
    return InProcess(app)


def start(app: Any, worker: InProcess, number: int) -> None:
    worker.item()
    app.tasks["proj.child"].apply_async(task_id=f"child-{number}", queue="children")


def generator(app: Any, worker: InProcess) -> Any:
    @app.task(base=IterableTask, name="proj.run", shared=False, autoretry_for=(OSError,))
    def run(*, cursor: int = -1) -> Any:
        for i in range(cursor + 1, ITEMS):
            start(app, worker, i)
            if i in STOPS:
                worker.stop()
            yield i
        return "done"

    return run


def written(app: Any, worker: InProcess) -> Any:
    class Run(IterableTask):
        name = "proj.run"

        def build_enumerator(self, *, cursor: int | None) -> Any:
            return ((i, i) for i in range(0 if cursor is None else cursor + 1, ITEMS))

        def each_iteration(self, item: int) -> None:
            start(app, worker, item)
            if item in STOPS:
                worker.stop()

        def result(self) -> str:
            return "done"

    return app.register_task(Run())


def ids(result: Any) -> list[str]:
    return [child.id for child in result.children or ()]


@pytest.mark.parametrize("make", [generator, written])
def test_of_all_executions(app: Any, worker: InProcess, backend: str, make: Any) -> None:
    result = make(app, worker).delay()
    assert worker.deliver_all() == 3
    assert result.get(timeout=5) == "done"
    assert ids(result) == [f"child-{i}" for i in range(ITEMS)]
    while worker.deliver("children") is not None:
        pass
    walked = list(result.iterdeps())
    assert len(walked) == ITEMS + 1
    assert [value for _, value in result.collect()] == ["done", *[None] * ITEMS]


def test_of_a_failed_run(app: Any, worker: InProcess) -> None:
    @app.task(base=IterableTask, name="proj.fails", shared=False)
    def fails(*, cursor: int = -1) -> Any:
        for i in range(cursor + 1, ITEMS):
            start(app, worker, i)
            if i == 3:
                worker.stop()
            if i == 25:
                raise ValueError
            yield i

    result = fails.delay()
    worker.deliver_all()
    assert result.state == "FAILURE"
    assert ids(result) == [f"child-{i}" for i in range(26)]


def test_after_a_retry(app: Any, worker: InProcess) -> None:
    failures = [OSError("once")]

    @app.task(
        base=IterableTask,
        name="proj.retried",
        shared=False,
        autoretry_for=(OSError,),
        default_retry_delay=0,
    )
    def retried(*, cursor: int = -1) -> Any:
        for i in range(cursor + 1, 5):
            if i == 3 and failures:
                raise failures.pop()
            start(app, worker, i)
            yield i

    result = retried.delay()
    worker.deliver_all()
    assert result.state == "SUCCESS"
    assert ids(result) == [f"child-{i}" for i in range(5)]


def test_groups_and_children_with_parents(app: Any, worker: InProcess) -> None:
    child = app.tasks["proj.child"]

    @app.task(base=IterableTask, name="proj.groups", shared=False, bind=True)
    def groups(self: Any, *, cursor: int = -1) -> Any:
        for i in range(cursor + 1, 20):
            worker.item()
            if i == 0:
                group(child.s().set(queue="children") for _ in range(3)).apply_async()
                self.add_trail(AsyncResult("second", parent=AsyncResult("first", app=app), app=app))
                worker.stop()
            yield i

    result = groups.delay()
    assert worker.deliver_all() == 2
    grouped, second = result.children
    assert len(grouped.results) == 3
    assert (second.id, second.parent.id) == ("second", "first")


def test_many_are_bounded(app: Any, worker: InProcess) -> None:
    """The first ones of earlier executions, all of the last."""

    @app.task(base=IterableTask, name="proj.many", shared=False)
    def many(*, cursor: int = -1) -> Any:
        for i in range(cursor + 1, 3000):
            start(app, worker, i)
            if i == 2000:
                worker.stop()
            yield i

    result = many.delay()
    worker.deliver()
    record = runtime_of(app).store.load(RunKey("proj.many", result.id)).record
    assert record is not None
    assert len(record.checkpoint or "") < 2 * MOST
    worker.deliver_all()
    numbers = [int(each.removeprefix("child-")) for each in ids(result)]
    first = next(i for i, number in enumerate(numbers) if number != i)
    assert 200 < first < 2000
    assert numbers[first] > 2000
    assert numbers[first:] == list(range(numbers[first], 3000))


def test_without_trail(app: Any, worker: InProcess) -> None:
    @app.task(base=IterableTask, name="proj.trailless", shared=False, trail=False)
    def trailless(*, cursor: int = -1) -> Any:
        for i in range(cursor + 1, 20):
            start(app, worker, i)
            if i == 3:
                worker.stop()
            yield i

    result = trailless.delay()
    assert worker.deliver_all() == 2
    assert ids(result) == []


def test_of_a_continuation_by_hand(app: Any, worker: InProcess) -> None:
    @app.task(base=GracefulTask, name="proj.by_hand", shared=False, bind=True)
    def by_hand(self: Any, first: int = 0) -> Any:
        for i in range(first, 5):
            start(app, worker, i)
            if i in (1, 3):
                worker.stop()
            if stopping():
                return self.continue_as(i + 1)
        return "done"

    result = by_hand.delay()
    assert worker.deliver_all() == 3
    assert result.get(timeout=5) == "done"
    assert ids(result) == [f"child-{i}" for i in range(5)]
