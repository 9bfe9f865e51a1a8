"""Badly written tasks, and what is said of them."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from celery_graceful import IterableTask


def without_cursor(n: int) -> Iterator[int]:
    yield n


def cursor_without_default(n: int, *, cursor: int) -> Iterator[int]:
    yield n


def cursor_by_position(cursor: int | None = None, /) -> Iterator[int]:
    yield 1


def no_yield(n: int, *, cursor: Any = None) -> int:
    return n


async def coroutine(*, cursor: Any = None) -> int:
    return 1


async def async_generator(*, cursor: Any = None) -> AsyncIterator[int]:
    yield 1


def fine(n: int = 3, *, cursor: int | None = None) -> Iterator[int]:
    yield from range(n)


@functools.wraps(no_yield)
def wrapped_no_yield(*args: Any, **kwargs: Any) -> Any:
    return no_yield(*args, **kwargs)


FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "no cursor": (without_cursor, "takes no cursor"),
    "no default": (cursor_without_default, "needs a default"),
    "by position": (cursor_by_position, "passed by name"),
    "no yield": (no_yield, "has no yield"),
    "no yield below a decorator": (wrapped_no_yield, "has no yield"),
    "coroutine": (coroutine, "async"),
    "async generator": (async_generator, "async"),
}


class NoEnumerator(IterableTask):
    def each_iteration(self, item: Any) -> None: ...


class NoEach(IterableTask):
    def build_enumerator(self, *, cursor: Any) -> Any: ...


class Nothing(IterableTask):
    pass


class EnumeratorWithoutCursor(IterableTask):
    def build_enumerator(self, n: int) -> Any: ...

    def each_iteration(self, item: Any, n: int) -> None: ...


class EnumeratorWithCursorByPosition(IterableTask):
    def build_enumerator(self, cursor: Any, /) -> Any: ...

    def each_iteration(self, item: Any) -> None: ...


class AsyncEach(IterableTask):
    def build_enumerator(self, *, cursor: Any) -> Any: ...

    async def each_iteration(self, item: Any) -> None: ...


class AsyncEnumerator(IterableTask):
    async def build_enumerator(self, *, cursor: Any) -> Any: ...  # type: ignore[override]

    def each_iteration(self, item: Any) -> None: ...


class YieldingEach(IterableTask):
    def build_enumerator(self, *, cursor: Any) -> Any: ...

    def each_iteration(self, item: Any) -> Iterator[Any]:
        yield item


class RunThatReturns(IterableTask):
    def run(self, n: int, *, cursor: Any = None) -> int:
        return n


CLASSES: dict[type[IterableTask], str] = {
    NoEnumerator: "defines no build_enumerator",
    NoEach: "defines no each_iteration",
    Nothing: "defines no build_enumerator",
    EnumeratorWithoutCursor: "build_enumerator takes no cursor",
    EnumeratorWithCursorByPosition: "cursor",
    AsyncEach: "async",
    AsyncEnumerator: "async",
    YieldingEach: "each_iteration",
    RunThatReturns: "has no yield",
}

OPTIONS: dict[str, Any] = {
    "checkpoint_interval": [
        "soon",
        -1,
        True,
        object(),
        [],
        "5 bananas",
        float("nan"),
        float("inf"),
    ],
    "max_execution_time": ["x", -2, {}, b"5", None.__class__],
    "max_crashes": ["3", -1, 2.5, True, float("nan")],
    "acks_late": [False],
    "reject_on_worker_lost": [False],
}
