"""A ``__call__`` around executions, and hooks before them, that raise, swallow or skip."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, Task
from celery.exceptions import Ignore, Reject

from celery_graceful import IterableTask
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.runtime import runtime_of
from tests.harness.delivered import InProcess, as_in_a_worker

ITEMS = 40
STOP_AT = 3


class Project:
    """An app whose ``Task`` has a ``__call__``; a run on it, which is interrupted once."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.worker = InProcess(app)
        self.calls = 0
        self.done: list[int] = []
        self.stop_at = STOP_AT
        self.fail_at = -1
        #: What a call does, by its number, in place of or around ``run``.
        self.call: Callable[..., Any] = lambda number, run: run()

    def item(self, number: int) -> None:
        self.worker.item()
        if number == self.fail_at:
            raise OSError("item")
        self.done.append(number)
        if number == self.stop_at:
            self.worker.stop()

    def record(self, result: Any) -> Record | None:
        return runtime_of(self.app).store.load(RunKey("proj.run", str(result.id))).record


@pytest.fixture
def project() -> Iterator[Project]:
    class Called(Task):  # type: ignore[type-arg]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            made.calls += 1
            return made.call(made.calls, lambda: self.run(*args, **kwargs))

    app = Celery(
        "proj",
        broker="memory://",
        backend="cache+memory://",
        task_cls=Called,
        set_as_current=False,
    )
    app.conf.graceful_store = f"memory://{uuid4()}"
    with app, as_in_a_worker():
        made = Project(app)
        yield made


def generator(project: Project) -> Any:
    @project.app.task(base=IterableTask, name="proj.run", shared=False)
    def run(*, cursor: int = -1) -> Any:
        for i in range(cursor + 1, ITEMS):
            project.item(i)
            yield i
        return "done"

    return run


def written(project: Project) -> Any:
    class Run(IterableTask):
        name = "proj.run"

        def build_enumerator(self, *, cursor: int | None) -> Any:
            return ((i, i) for i in range(0 if cursor is None else cursor + 1, ITEMS))

        def each_iteration(self, item: int) -> None:
            project.item(item)

        def result(self) -> str:
            return "done"

    return project.app.register_task(Run())


styles = pytest.mark.parametrize("make", [generator, written])


@styles
def test_one_that_swallows_exceptions_does_not_end_an_interrupted_run(
    project: Project, make: Any
) -> None:
    def swallow(number: int, run: Any) -> Any:
        try:
            return run()
        except Exception:
            return "swallowed"

    @project.app.task(name="proj.linked", shared=False)
    def linked(value: str) -> None:
        told.append(value)

    told: list[str] = []
    project.call = swallow
    result = make(project).apply_async(link=linked.s().set(queue="linked"))
    project.worker.deliver()
    assert result.state not in ("SUCCESS", "FAILURE")
    assert project.worker.deliver("linked") is None
    assert project.worker.deliver_all() == 1
    assert project.worker.deliver_all("linked") == 1
    assert told == ["done"]
    assert result.get(timeout=5) == "done"
    assert project.done == list(range(ITEMS))


@styles
def test_one_that_calls_again_after_an_exception(project: Project, make: Any) -> None:
    def again(number: int, run: Any) -> Any:
        for _ in range(3):
            try:
                return run()
            except Exception as exc:
                last = exc
        raise last

    project.call = again
    result = make(project).delay()
    assert project.worker.deliver_all() == 2
    assert result.get(timeout=5) == "done"
    assert project.done == list(range(ITEMS))


@styles
def test_one_that_works_on_what_run_returns(project: Project, make: Any) -> None:
    project.call = lambda number, run: run().upper()
    result = make(project).delay()
    assert project.worker.deliver_all() == 2
    assert result.get(timeout=5) == "DONE"


def raise_(exc: BaseException) -> Any:
    raise exc


@styles
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    ("instead", "state", "outcome"),
    [
        (lambda: raise_(OSError("before")), "FAILURE", Outcome.FAILED),
        (lambda: "skipped", "SUCCESS", Outcome.COMPLETED),
        (lambda: raise_(Ignore()), None, Outcome.COMPLETED),
        (lambda: raise_(Reject("no", requeue=False)), None, Outcome.FAILED),
    ],
    ids=["raises", "returns", "ignores", "rejects"],
)
def test_one_that_does_not_call_run(
    project: Project, make: Any, at: int, instead: Any, state: Any, outcome: Any
) -> None:
    """In the first execution, and in the second: no run is left that a worker would rescue."""
    project.call = lambda number, run: instead() if number == at else run()
    result = make(project).delay()
    assert project.worker.deliver_all() == at
    assert state in (None, result.state)
    record = project.record(result)
    assert record is not None
    assert (record.state, record.outcome) == (State.ENDED, outcome)
    assert len(project.done) < ITEMS


@styles
@pytest.mark.parametrize("at", [1, 2])
def test_one_that_requeues_the_message(project: Project, make: Any, at: int) -> None:
    project.call = lambda number, run: (
        raise_(Reject("later", requeue=True)) if number == at else run()
    )
    result = make(project).delay()
    project.worker.deliver_all()
    record = project.record(result)
    assert record is not None
    assert record.state is State.INTERRUPTED
    assert record.owner is None


@styles
@pytest.mark.parametrize("at", [1, 2])
def test_a_hook_that_raises_before_the_run(
    project: Project, make: Any, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(project)

    def before_start(self: Any, *args: Any) -> None:
        if project.worker.executions == at:
            raise OSError("before")

    monkeypatch.setattr(type(project.app.tasks["proj.run"]), "before_start", before_start)
    result = task.delay()
    assert project.worker.deliver_all() == at
    assert result.state == "FAILURE"
    record = project.record(result)
    assert record is not None
    assert (record.state, record.outcome) == (State.ENDED, Outcome.FAILED)


@styles
def test_one_that_raises_after_the_run(project: Project, make: Any) -> None:
    def late(number: int, run: Any) -> Any:
        run()
        raise OSError("after")

    project.call = late
    result = make(project).delay()
    assert project.worker.deliver_all() == 2, "an interruption stays one"
    assert result.state == "FAILURE"
    record = project.record(result)
    assert record is not None
    assert (record.state, record.outcome) == (State.ENDED, Outcome.FAILED)


@styles
def test_one_that_swallows_a_failure(project: Project, make: Any) -> None:
    def swallow(number: int, run: Any) -> Any:
        try:
            return run()
        except OSError:
            return "swallowed"

    project.call, project.fail_at = swallow, 30
    result = make(project).delay()
    assert project.worker.deliver_all() == 2
    assert result.get(timeout=5) == "swallowed"
    record = project.record(result)
    assert record is not None
    assert (record.state, record.outcome) == (State.ENDED, Outcome.COMPLETED)
