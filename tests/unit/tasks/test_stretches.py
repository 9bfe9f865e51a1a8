"""Stretches of a source without an item: the cursor moves, nothing is counted, a stop is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_graceful import IterableTask
from celery_graceful.execution.loop import Interrupted, Place, call_shape, drive
from celery_graceful.sources import SKIPPED, batched, filtered, nested, numbers, skipping
from celery_graceful.testing import assert_resumable, run_until

LENGTH = 40


@pytest.fixture(autouse=True)
def marks_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "MARK_EVERY", 0.0)


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("stretches", broker="memory://", set_as_current=False) as app:
        yield app


def wanted(number: int) -> bool:
    return number % 7 == 3


class Chosen(IterableTask):
    """Sums the numbers that are wanted."""

    name = "stretches.chosen"

    def build_enumerator(self, *, cursor: Any) -> Any:
        return filtered(numbers(0, LENGTH, cursor=cursor), wanted)

    def each_iteration(self, item: int) -> None:
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def result(self) -> list[int]:
        return [self.progress.current, self.carry.get("sum", 0)]


CHOSEN = [n for n in range(LENGTH) if wanted(n)]


def test_what_is_left_out_is_not_counted(app: Celery) -> None:
    task = app.register_task(Chosen())
    assert task.apply().get() == [len(CHOSEN), sum(CHOSEN)]


@pytest.mark.parametrize("option", [{}, {"track_in_doubt": True}, {"max_failed_items": 3}])
def test_interrupted_everywhere(app: Celery, option: dict[str, Any]) -> None:
    task = app.register_task(type("Chosen", (Chosen,), option)())
    assert_resumable(task)


def test_a_run_that_is_interrupted_in_a_stretch_continues_there(app: Celery) -> None:
    task = app.register_task(Chosen())
    run = run_until(task, items=2)
    assert run.steps == 2
    assert run.resume().result == [len(CHOSEN), sum(CHOSEN)]


def test_batches_and_children(app: Celery) -> None:
    class Deep(Chosen):
        name = "stretches.deep"

        def build_enumerator(self, *, cursor: Any) -> Any:
            parents: list[Any] = [
                lambda cursor: filtered(numbers(0, LENGTH, cursor=cursor), wanted),
                lambda parent, cursor: filtered(
                    numbers(parent, parent + 9, cursor=cursor), lambda n: n % 3 == 1
                ),
            ]
            return batched(nested(parents, cursor=cursor), 2)

        def each_iteration(self, items: list[int]) -> None:  # type: ignore[override]
            super().each_iteration(sum(items))

    assert_resumable(app.register_task(Deep()))


def test_as_a_generator(app: Celery) -> None:
    @app.task(base=IterableTask, bind=True, name="stretches.generator")
    def generator(self: Any, *, cursor: Any = None) -> Any:
        source = filtered(numbers(0, LENGTH, cursor=cursor), wanted)
        for item, reached in source.with_skipped():
            if item is not SKIPPED:
                self.carry["sum"] = self.carry.get("sum", 0) + item
            yield reached
        return self.carry["sum"]

    assert_resumable(generator)
    assert generator.apply().get() == sum(CHOSEN)


# -- the loop --------------------------------------------------------------------------------


class Watching:
    """Notes each look, and leaves at a cursor."""

    growth = 1000
    stand: Any = None

    def __init__(self, leave_at: int) -> None:
        self.fuse: list[int] = []
        self.leave_at = leave_at
        self.looks: list[tuple[Any, int]] = []
        self.done = 0

    def look(self, cursor: Any, done: int) -> None:
        self.settle(cursor, done)
        self.looks.append((cursor, done))
        if cursor is not None and cursor >= self.leave_at:
            raise Interrupted("test")

    def passed(self, cursor: Any, done: int) -> None:
        self.settle(cursor, done)

    def settle(self, cursor: Any, done: int) -> None:
        self.done += done


def test_each_marker_is_a_place_to_stop_at() -> None:
    did: list[int] = []
    watcher = Watching(leave_at=6)
    source = filtered(numbers(0, 100), lambda n: n in (1, 3))
    turns = call_shape(did.append, (), {}, has_markers=True)
    with pytest.raises(Interrupted):
        drive(source.marked, turns, watcher, None)
    assert (did, watcher.done) == ([1, 3], 2)
    assert [cursor for cursor, _ in watcher.looks] == [None, 0, 2, 4, 5, 6]


def test_a_stretch_at_the_end_is_no_lost_end() -> None:
    watcher = Watching(leave_at=1000)
    source = filtered(numbers(0, 100), lambda n: n == 0)
    drive(source.marked, call_shape(print, (), {}, has_markers=True), watcher, None)
    assert watcher.looks[-1] == (99, 0)


def test_other_sources_have_a_loop_without_a_test() -> None:
    with_markers = call_shape(print, (), {}, has_markers=True)
    without = call_shape(print, (), {})
    assert len(without.__code__.co_code) < len(with_markers.__code__.co_code)
    assert not Place(None).skipped
