"""Hooks, progress and ``around_iteration`` of generators, where there is no worker."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import pytest

from celery_graceful import IterableTask
from celery_graceful.errors import GracefulError

Way = Callable[..., Any]


class Hooked(IterableTask):
    """A base that notes its hooks."""

    abstract = True
    calls: list[Any]

    def on_start(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("start", args, kwargs, self.progress.current, dict(self.carry)))

    def count(self, *args: Any, **kwargs: Any) -> int:
        self.calls.append(("count", args, kwargs))
        return 4

    def on_complete(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("complete", args, kwargs, self.progress.current, dict(self.carry)))

    def on_resume(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append("resume")

    def on_stop(self, reason: str, /, *args: Any, **kwargs: Any) -> None:
        self.calls.append("stop")

    def on_cancel(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append("cancel")

    def result(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append("result")
        return "of the class style"


def test_hooks_in_order_with_the_runs_arguments(app: Any, way: Way) -> None:
    calls: list[Any] = []

    @app.task(base=Hooked, bind=True, calls=calls)
    def work(self: Any, a: int, b: int = 0, *, cursor: Any = None) -> Any:
        for i in (1, 2):
            self.carry["last"] = i
            calls.append(i)
            yield i
        return "of the generator"

    assert way(work, 1, b=2, cursor=0) == "of the generator"
    given = ((1,), {"b": 2})
    assert calls == [
        ("start", *given, 0, {}),
        ("count", *given),
        1,
        2,
        ("complete", *given, 2, {"last": 2}),
    ]


def test_progress(app: Any, way: Way) -> None:
    seen: list[Any] = []
    began = datetime.now(timezone.utc)

    @app.task(base=Hooked, bind=True, calls=[])
    def work(self: Any, *, cursor: Any = None) -> Iterator[str]:
        seen.append(self.progress)
        yield "a"
        seen.append(self.progress)
        yield "b"

    way(work, cursor="seed")
    first, second = seen
    assert (first.current, first.total, first.cursor, first.percent) == (0, 4, "seed", 0.0)
    assert (second.current, second.cursor, second.percent) == (1, "a", 25.0)
    assert first.resumptions == 0
    assert began <= first.started_at <= datetime.now(timezone.utc)


def test_progress_is_exact_where_nobody_else_looks(app: Any, way: Way) -> None:
    """No ticker runs here, so that nothing would ever bring ``progress`` up to date."""
    seen: list[int] = []

    @app.task(base=IterableTask, bind=True)
    def work(self: Any, *, cursor: Any = None) -> Any:
        for i in range(50):
            seen.append(self.progress.current)
            yield i

    way(work)
    assert seen == list(range(50))


def test_around_iteration_surrounds_each_item(app: Any, way: Way) -> None:
    calls: list[Any] = []

    class Surrounded(IterableTask):
        abstract = True

        @contextmanager
        def around_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Iterator[None]:
            calls.append(("in", item, args, kwargs))
            yield
            calls.append("out")

    @app.task(base=Surrounded)
    def work(n: int, *, cursor: Any = None) -> Any:
        for i in range(n):
            calls.append(i)
            yield i
        calls.append("tail")
        return "result"

    assert way(work, 2) == "result"
    begin: Any = ("in", None, (2,), {})
    assert calls == [begin, 0, "out", begin, 1, "out", begin, "tail", "out"]


def test_around_iteration_that_swallows_an_error_cannot_end_the_run_as_done(
    app: Any, way: Way
) -> None:
    """A generator that raised is over: going on would lose the items after it without a word."""

    class Forgiving(IterableTask):
        abstract = True

        def around_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Any:
            return suppress(ValueError)

    @app.task(base=Forgiving)
    def work(*, cursor: Any = None) -> Any:
        yield 1
        raise ValueError("an item")
        yield 2

    with pytest.raises((ValueError, GracefulError)):
        way(work)


def test_the_generator_is_closed_after_an_error_elsewhere(app: Any, way: Way) -> None:
    closed: list[str] = []

    class Failing(IterableTask):
        abstract = True

        @contextmanager
        def around_iteration(self, item: Any, /, *args: Any, **kwargs: Any) -> Iterator[None]:
            yield
            raise ValueError("around")

    @app.task(base=Failing)
    def work(*, cursor: Any = None) -> Any:
        try:
            yield 1
        finally:
            closed.append("closed")
        return "result"

    with pytest.raises(ValueError, match="around"):
        way(work)
    assert closed == ["closed"]
