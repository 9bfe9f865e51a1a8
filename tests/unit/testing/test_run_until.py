"""``run_until`` runs the engine's own executions, for as many items as a test wants."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.model.run.cursor import Checkpoint, decode
from celery_graceful.testing import run_until


class Story(IterableTask):
    """Writes down what happens."""

    name = "story"
    told: list[Any]

    def build_enumerator(self, n: int, *, cursor: int | None) -> Iterable[tuple[int, int]]:
        return ((i, 10 * i) for i in range(1 if cursor is None else cursor // 10 + 1, n + 1))

    def each_iteration(self, item: int, n: int) -> None:
        self.told.append(item)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def count(self, n: int) -> int:
        self.told.append("count")
        return n

    def result(self, n: int) -> str:
        return f"sum {self.carry['sum']}, {self.progress.current} of {self.progress.total}"

    def on_start(self, n: int) -> None:
        self.told.append("start")

    def on_resume(self, n: int) -> None:
        self.told.append(("resume", self.progress.resumptions, self.request.id))

    def on_stop(self, reason: str, n: int) -> None:
        self.told.append((reason, self.progress.cursor))

    def on_complete(self, n: int) -> None:
        self.told.append("complete")


@pytest.fixture
def story(app: Any) -> Any:
    task = app.register_task(Story())
    task.told = []
    return task


def test_a_run_in_three_executions(story: Any) -> None:
    first = run_until(story, (4,), items=2)
    assert story.told == ["start", "count", 1, 2, ("shutdown", 20)]
    assert (first.cursor, first.carry, first.steps, first.total) == (20, {"sum": 3}, 2, 4)
    assert (first.finished, first.result, first.resumptions) == (False, None, 0)
    assert decode(first.checkpoint) == Checkpoint(20, {"sum": 3}, 2, 4)
    story.told.clear()
    second = first.resume(items=1)
    assert story.told == [("resume", 1, first.task_id), 3, ("shutdown", 30)]
    story.told.clear()
    last = second.resume()
    assert story.told == [("resume", 2, first.task_id), 4, "complete"]
    assert (last.finished, last.result, last.cursor) == (True, "sum 10, 4 of 4", 40)


def test_a_checkpoint_can_be_resumed_again(story: Any) -> None:
    half = run_until(story, kwargs={"n": 4}, items=2)
    assert half.resume().result == half.resume().result == "sum 10, 4 of 4"


@pytest.mark.parametrize("items", [None, 5, 400])
def test_a_run_with_fewer_items_finishes(story: Any, items: int | None) -> None:
    run = run_until(story, [4], items=items)
    assert run.finished
    with pytest.raises(ValueError, match="is finished"):
        run.resume()


def test_the_ends(story: Any) -> None:
    before = run_until(story, (2,), items=0)
    assert (before.cursor, before.steps, before.finished) == (None, 0, False)
    after = before.resume(items=2)
    assert (after.cursor, after.finished) == (20, False), "nobody knows that this was the last"
    assert after.resume().result == "sum 3, 2 of 2"


def test_a_seed(story: Any) -> None:
    run = run_until(story, (4,), {"cursor": 20}, items=1)
    assert (run.cursor, run.steps) == (30, 1)
    assert run.resume().carry == {"sum": 7}


def test_a_generator_is_closed_before_its_checkpoint_is_saved(app: Any) -> None:
    @app.task(base=IterableTask, shared=False, bind=True)
    def work(self: Any, *, cursor: int = 0) -> Any:
        try:
            yield from range(cursor + 1, 4)
        finally:
            self.carry["closed"] = self.carry.get("closed", 0) + 1

    run = run_until(work, items=1)
    assert run.carry == {"closed": 1}
    assert run.resume().carry == {"closed": 2}


def test_celerys_wrappers_are_around_it(app: Any) -> None:
    events: list[str] = []

    class Told(IterableTask):
        abstract = True

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            events.append(f"before {args}")
            super().before_start(task_id, args, kwargs)

        def on_success(self, retval: Any, *_: Any) -> None:
            events.append(f"success {retval}")

    @app.task(base=Told, shared=False)
    def work(pair: Any, *, cursor: int = 0) -> Any:
        yield from range(cursor + 1, 3)
        return type(pair).__name__

    run = run_until(work, ((1, 2),), items=1)
    assert events == ["before ([1, 2],)"], "arguments come as a message brings them"
    assert run.resume().result == "list"
    assert events[1:] == ["before ([1, 2],)", "success list"]


def test_pydantic(app: Any) -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Range", first=(int, ...), last=(int, ...))

    def work(span: Any, *, cursor: Any = None) -> Any:
        yield from range(span.first if cursor is None else cursor + 1, span.last)
        return type(span).__name__

    work.__annotations__["span"] = model
    task = app.task(base=IterableTask, shared=False, pydantic=True)(work)
    run = run_until(task, ({"first": 1, "last": 4},), items=2)
    assert run.cursor == 2
    assert run.resume().result == "Range"


def test_what_an_item_raises_comes_out(app: Any) -> None:
    @app.task(base=IterableTask, shared=False)
    def work(*, cursor: int = 0) -> Any:
        yield 1
        raise KeyError("the second")

    assert run_until(work, items=1).cursor == 1
    with pytest.raises(KeyError, match="the second"):
        run_until(work)


def plain() -> None:
    """No iterable task."""


def test_what_is_no_iterable_task(app: Any) -> None:
    with pytest.raises(TypeError, match="is a class; register it"):
        run_until(Story)
    with pytest.raises(TypeError, match="an iterable task is needed"):
        run_until(app.task(shared=False)(plain))
    with pytest.raises(TypeError, match="an iterable task is needed"):
        run_until(run_until)


def test_wrong_numbers_and_arguments(story: Any) -> None:
    with pytest.raises(ValueError, match="0 or more, not -1"):
        run_until(story, (1,), items=-1)
    with pytest.raises(ValueError, match="0 or more, not -1"):
        run_until(story, (1,), items=0).resume(items=-1)
    with pytest.raises(TypeError, match="cannot be sent as json"):
        run_until(story, (object(),))


def test_nothing_is_left_on_the_task(story: Any) -> None:
    before = dict(vars(story))
    run_until(story, (2,), items=1).resume()
    assert vars(story) == before
