"""Carry and progress belong to the run under way here, and to nothing else."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.errors import GracefulError, NoRunError

Way = Callable[..., Any]


@pytest.fixture
def adder(app: Any) -> Any:
    @app.task(base=IterableTask, bind=True, name="proj.adder")
    def adder(self: Any, start: int, n: int, *, cursor: int | None = None) -> Any:
        for i in range(start if cursor is None else cursor + 1, start + n):
            self.carry["sum"] = self.carry.get("sum", 0) + i
            yield i
        return self.carry["sum"]

    app.finalize()
    return adder


@pytest.mark.parametrize("name", ["carry", "progress"])
def test_outside_of_a_run(adder: Any, name: str) -> None:
    with pytest.raises(NoRunError, match=rf"proj\.adder\.{name} exists only while a run"):
        getattr(adder, name)


@pytest.mark.parametrize("name", ["carry", "progress"])
def test_after_a_run(adder: Any, way: Way, name: str) -> None:
    way(adder, 0, 5)
    with pytest.raises(NoRunError):
        getattr(adder, name)


def test_after_a_failed_run(app: Any, way: Way) -> None:
    @app.task(base=IterableTask)
    def work(*, cursor: Any = None) -> Any:
        yield 1
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        way(work)
    with pytest.raises(NoRunError):
        _ = work.carry


def test_nothing_is_stored_on_the_task(adder: Any, way: Way) -> None:
    def names() -> set[str]:
        celerys = {"_default_request", "_exec_options", "_backend", "backend"}
        return ({*vars(adder)} | {*vars(type(adder))}) - celerys

    before = names()
    way(adder, 0, 5)
    assert names() == before


def test_in_a_thread_that_does_not_run_the_task(app: Any, way: Way) -> None:
    seen: list[Any] = []

    @app.task(base=IterableTask, bind=True)
    def work(self: Any, *, cursor: Any = None) -> Any:
        def look() -> None:
            try:
                seen.append(self.carry)
            except NoRunError as exc:
                seen.append(exc)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        yield 1

    way(work)
    assert isinstance(seen[0], NoRunError)
    assert "thread" in str(seen[0])


def test_another_tasks_run_is_not_this_ones(app: Any, adder: Any, way: Way) -> None:
    @app.task(base=IterableTask)
    def other(*, cursor: Any = None) -> Any:
        yield 1
        with suppress(NoRunError):
            return dict(adder.carry)
        return "none"

    assert way(other) == "none"


def test_runs_within_runs(app: Any, adder: Any, way: Way) -> None:
    @app.task(base=IterableTask, bind=True)
    def outer(self: Any, n: int, *, cursor: int | None = None) -> Any:
        for i in range(n):
            self.carry["sum"] = self.carry.get("sum", 0) + way(adder, i, 3)
            yield i
            if n > 1:
                self.carry["inner"] = way(outer, n - 1)
        return self.carry["sum"]

    assert way(outer, 3) == 3 + 6 + 9


def test_a_plain_task_within_an_item(app: Any, way: Way) -> None:
    @app.task
    def plain(x: int) -> int:
        return x + 1

    @app.task(base=IterableTask, bind=True)
    def work(self: Any, *, cursor: Any = None) -> Any:
        self.carry["x"] = way(plain, 1)
        yield 1
        return self.carry["x"]

    assert way(work) == 2


def test_many_threads_at_once(adder: Any, way: Way) -> None:
    gate = threading.Barrier(8)

    def one(k: int) -> Any:
        gate.wait(10)
        return way(adder, k, 3000)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(8)))
    assert results == [sum(range(k, k + 3000)) for k in range(8)]


def test_interleaved_in_two_threads(app: Any, way: Way) -> None:
    """In turn, item by item, in the same task object."""
    turn = threading.Barrier(2)

    @app.task(base=IterableTask, bind=True)
    def work(self: Any, key: str, *, cursor: Any = None) -> Any:
        for i in range(50):
            turn.wait(10)
            self.carry.setdefault("keys", []).append(key)
            yield i
            turn.wait(10)
            assert self.progress.current <= i + 1
        return self.carry["keys"]

    app.finalize()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda key: way(work, key), "ab"))
    assert results == [["a"] * 50, ["b"] * 50]


@pytest.mark.parametrize("call", ["replace", "continue_as"])
def test_what_an_iterable_task_cannot_do(app: Any, way: Way, call: str) -> None:
    @app.task
    def other() -> None: ...

    @app.task(base=IterableTask, bind=True, name="proj.cannot")
    def work(self: Any, *, cursor: Any = None) -> Any:
        yield 1
        if call == "replace":
            self.replace(other.s())
        self.continue_as(1)

    with pytest.raises(GracefulError, match=r"proj\.cannot: an iterable task"):
        way(work)
