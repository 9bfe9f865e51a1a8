"""The iterable tasks of the benchmarks' workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from celery import Celery

from celery_graceful.tasks import IterableTask
from tests.harness import Ledger


def short(n: int, *, cursor: int = -1) -> Iterator[int]:
    """As the plain task ``loop``."""
    for number in range(cursor + 1, n):  # noqa: UP028 - a body as tasks have one
        yield number


def paced(rate: float, seconds: float, *, cursor: int = -1) -> Any:
    """Items at ``rate`` per second, 0 for as many as possible, for some seconds; says how many."""
    began, first = time.monotonic(), cursor + 1
    number = first
    while (passed := time.monotonic() - began) < seconds:
        if rate:
            time.sleep(max(0.0, (number - first) / rate - passed))
        yield number
        number += 1
    return number - first


def noted(n: int, pause: float, *, cursor: int = -1) -> Iterator[int]:
    """Items of ``pause`` seconds, noted in the ledger."""
    ledger = Ledger(os.environ["BENCH_LEDGER"])
    for number in range(cursor + 1, n):
        time.sleep(pause)
        ledger.add(number)
        yield number


def brief(name: str, *, cursor: int = -1) -> Iterator[int]:
    """Three items of nothing, then a mark."""
    from benchmarks.app import mark

    yield from range(cursor + 1, 3)
    mark(name)


def marked(name: str, n: int, pause: float, *, cursor: int = -1) -> Iterator[int]:
    """Items of ``pause`` seconds, each with a mark."""
    from benchmarks.app import mark

    for number in range(cursor + 1, n):
        time.sleep(pause)
        mark(f"{name}:{number}")
        yield number


class Short(IterableTask):
    """The class style of ``short``."""

    name = "benchmarks.app.short_class"

    def build_enumerator(self, n: int, *, cursor: Any) -> Iterator[tuple[int, int]]:
        for number in range(0 if cursor is None else cursor + 1, n):
            yield number, number

    def each_iteration(self, item: int, n: int) -> None:
        pass

    def result(self, n: int) -> int:
        return n


class Counted(IterableTask):
    """Items for some seconds, with a count, so that PROGRESS is written."""

    name = "benchmarks.app.counted"

    def build_enumerator(self, seconds: float, *, cursor: Any) -> Iterator[tuple[int, int]]:
        until = time.monotonic() + seconds
        number = 0 if cursor is None else cursor
        while time.monotonic() < until:
            number += 1
            yield number, number

    def each_iteration(self, item: int, seconds: float) -> None:
        time.sleep(0.01)

    def count(self, seconds: float) -> int:
        return int(seconds * 100)


def register(app: Celery) -> None:
    """Make tasks of them all."""
    for body in (short, paced, noted, brief, marked):
        app.task(base=IterableTask, name=f"benchmarks.app.{body.__name__}")(body)
    app.register_task(Short())
    app.register_task(Counted())
