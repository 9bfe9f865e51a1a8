"""Retries where there is no worker: they go on at the failed item, as in one."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from celery_graceful import IterableTask

from .conftest import MakeApp


@pytest.fixture
def app(make_app: MakeApp) -> Any:
    """As Celery's own eager retries need it: without ``task_eager_propagates``."""
    return make_app(task_always_eager=True)


class Flaky(Exception):
    """Fails some times."""


def failing(times: int, at: int, done: list[int]) -> Any:
    """Work on an item that fails ``times`` times at item ``at``."""
    left = [times]

    def work(item: int) -> None:
        if item == at and left[0]:
            left[0] -= 1
            raise Flaky(item)
        done.append(item)

    return work


@pytest.mark.parametrize("way", ["delay", "apply"])
def test_autoretry_of_a_generator(app: Any, way: str) -> None:
    done: list[int] = []
    process = failing(2, 3, done)

    @app.task(base=IterableTask, autoretry_for=(Flaky,), default_retry_delay=0, max_retries=3)
    def work(n: int, *, cursor: int | None = None) -> Any:
        for i in range(0 if cursor is None else cursor + 1, n):
            process(i)
            yield i
        return "result"

    result = work.delay(6) if way == "delay" else work.apply((6,))
    assert result.get() == "result"
    assert done == list(range(6)), "0 lost, 0 repeated"


def test_autoretry_of_a_class(app: Any) -> None:
    done: list[int] = []
    process = failing(2, 3, done)

    class Work(IterableTask):
        name = "proj.flaky"
        autoretry_for = (Flaky,)
        default_retry_delay = 0

        def build_enumerator(self, n: int, *, cursor: int | None) -> Iterable[Any]:
            return ((i, i) for i in range(0 if cursor is None else cursor + 1, n))

        def each_iteration(self, item: int, n: int) -> None:
            process(item)
            self.carry["sum"] = self.carry.get("sum", 0) + item

        def result(self, n: int) -> int:
            return self.carry["sum"]  # type: ignore[no-any-return]

    task = app.register_task(Work())
    assert task.delay(6).get() == 15
    assert done == list(range(6)), "0 lost, 0 repeated"


def test_autoretry_gives_up(app: Any) -> None:
    done: list[int] = []
    process = failing(99, 1, done)

    @app.task(base=IterableTask, autoretry_for=(Flaky,), default_retry_delay=0, max_retries=2)
    def work(*, cursor: int | None = None) -> Any:
        for i in range(0 if cursor is None else cursor + 1, 3):
            process(i)
            yield i

    with pytest.raises(Flaky):
        work.apply().get()


def test_retry_by_hand(app: Any) -> None:
    done: list[int] = []
    process = failing(1, 2, done)

    @app.task(base=IterableTask, bind=True, default_retry_delay=0)
    def work(self: Any, n: int, *, cursor: int | None = None) -> Any:
        for i in range(0 if cursor is None else cursor + 1, n):
            try:
                process(i)
            except Flaky as exc:
                raise self.retry(exc=exc) from exc
            yield i
        return self.request.retries

    assert work.delay(4).get() == 1
    assert done == [0, 1, 2, 3], "0 lost, 0 repeated"


def test_no_retry_for_other_errors(app: Any) -> None:
    runs: list[int] = []

    @app.task(base=IterableTask, autoretry_for=(Flaky,), dont_autoretry_for=(KeyError,))
    def work(*, cursor: int | None = None) -> Any:
        runs.append(1)
        yield 1
        raise KeyError("no")

    with pytest.raises(KeyError):
        work.apply().get()
    assert runs == [1]


def test_a_direct_call_raises_at_once(app: Any) -> None:
    @app.task(base=IterableTask, autoretry_for=(Flaky,), default_retry_delay=0)
    def work(*, cursor: int | None = None) -> Any:
        yield 1
        raise Flaky("direct")

    with pytest.raises(Flaky, match="direct"):
        work()
