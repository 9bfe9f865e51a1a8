"""Eager runs and direct calls look up from the loop as rarely as a worker, and report as much."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.errors import CursorError
from celery_graceful.execution.execution import Execution
from celery_graceful.execution.loop import CHUNK

Way = Callable[..., Any]


class Each(IterableTask):
    """Calls its attribute ``done`` for each of so many items."""

    name = "proj.each"
    done: Any = None

    def build_enumerator(self, n: int, *, cursor: Any) -> Iterator[Any]:
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, n))

    def each_iteration(self, item: int, n: int) -> None:
        self.done(self, item)


@pytest.fixture(params=["generator", "returning", "surrounded", "class"])
def task(request: pytest.FixtureRequest, app: Any) -> Any:
    """Calls its attribute ``done(task, item)`` for ``n`` items; written in each way."""
    if request.param == "class":
        return app.register_task(Each())

    class Surrounded(IterableTask):
        abstract = True

        def around_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Any:
            return super().around_iteration(item, *args, **kwargs)

    def body(self: Any, n: int, *, cursor: int = -1) -> Any:
        for item in range(cursor + 1, n):
            self.done(self, item)
            yield item

    def returning(self: Any, n: int, *, cursor: int = -1) -> Any:
        yield from body(self, n, cursor=cursor)
        return n

    base = Surrounded if request.param == "surrounded" else IterableTask
    return app.task(base=base, bind=True, name="proj.each")(
        returning if request.param == "returning" else body
    )


def test_it_looks_up_rarely(task: Any, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    original = Execution.look

    def look(self: Execution, cursor: Any, done: int) -> None:
        looks.append(done)
        original(self, cursor, done)

    monkeypatch.setattr(Execution, "look", look)
    task.done = lambda task, item: None
    way(task, 5 * CHUNK)
    assert looks[:6] == [0, 1, 2, 4, 8, 16]
    assert len(looks) <= 15


def test_progress_is_exact_within_every_item(task: Any, way: Way) -> None:
    seen: list[tuple[int, Any]] = []

    def done(task: Any, item: int) -> None:
        if item % 7 == 3:
            seen.append((task.progress.current, task.progress.cursor))

    task.done = done
    way(task, 2000)
    assert seen == [(item, item - 1) for item in range(3, 2000, 7)]


def test_progress_of_a_run_within_a_run(task: Any, way: Way) -> None:
    seen: list[int] = []

    def done(task: Any, item: int) -> None:
        if item == 20:
            inner = task.app.tasks["proj.inner"]
            assert inner(7) == list(range(7))
            seen.append(task.progress.current)

    @task.app.task(base=IterableTask, bind=True, name="proj.inner")
    def inner(self: Any, n: int, *, cursor: int = -1) -> Any:
        found = []
        for item in range(n):
            found.append(self.progress.current)
            yield item
        return found

    task.done = done
    way(task, 30)
    assert seen == [20]


def test_reading_progress_holds_on_to_no_item(app: Any, way: Way) -> None:
    class Thing:
        pass

    gone: list[int] = []

    @app.task(base=IterableTask, bind=True)
    def work(self: Any, *, cursor: int = -1) -> Any:
        for item in range(10):
            thing = Thing()
            weakref.finalize(thing, gone.append, item)
            assert self.progress.current == item
            del thing
            gc.collect(0)  # where all that is new is, since nobody else collects
            assert gone == list(range(item + 1))
            yield item

    gc.disable()
    try:
        way(work)
    finally:
        gc.enable()


@pytest.mark.parametrize("place", [0, 1, 2, 40, 1500])
def test_a_cursor_that_cannot_be_saved(app: Any, way: Way, place: int) -> None:
    """It stays so from its place on, as with a source of other types than at first."""

    @app.task(base=IterableTask)
    def work(*, cursor: Any = None) -> Any:
        for item in range(1600):
            yield item if item < place else object()

    with pytest.raises(CursorError):
        way(work)


def test_a_carry_that_cannot_be_saved_at_the_end(app: Any, way: Way) -> None:
    @app.task(base=IterableTask, bind=True)
    def work(self: Any, *, cursor: Any = None) -> Any:
        yield from range(5)
        self.carry["last"] = object()

    with pytest.raises(CursorError):
        way(work)
