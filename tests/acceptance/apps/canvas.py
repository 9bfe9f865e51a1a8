"""Iterable tasks that go on until they were interrupted often enough, and what is around them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

from celery_graceful import IterableTask
from tests.acceptance.apps.making import make_app, note

app = make_app("canvas")

#: The least number of items in an execution.
ITEMS = 10


def summed(given: Any, add: int) -> int:
    """What a run returns: the callers' value, or the sum of a chord's header, and its own."""
    return (sum(given) if isinstance(given, list) else int(given)) + add


@app.task(base=IterableTask, bind=True, name="canvas.tour")
def tour(
    self: Any,
    given: Any,
    add: int = 0,
    *,
    tag: str,
    until: int = 3,
    fail: bool = False,
    cursor: int = 0,
) -> Generator[int, None, Any]:
    """A generator: items until ``until`` interruptions are behind it."""
    begin = cursor
    while cursor < begin + ITEMS or self.progress.resumptions < until:
        cursor += 1
        time.sleep(0.005)
        note(f"{tag}:{cursor}")
        yield cursor
    if fail:
        raise ValueError(f"{tag} fails at its end")
    return summed(given, add)


@app.task(base=IterableTask, bind=True, name="canvas.brief", max_execution_time=0.1)
def brief(
    self: Any, given: Any, add: int = 0, *, tag: str, cursor: int = 0
) -> Generator[int, None, Any]:
    """The same, interrupted by its own ``max_execution_time``."""
    begin = cursor
    while cursor < begin + ITEMS or self.progress.resumptions < 3:
        cursor += 1
        time.sleep(0.005)
        note(f"{tag}:{cursor}")
        yield cursor
    return summed(given, add)


class Walk(IterableTask):
    """A class that does the same, and keeps its value in the carry."""

    name = "canvas.walk"

    def build_enumerator(
        self, given: Any, add: int = 0, *, tag: str, until: int = 3, cursor: int | None
    ) -> Iterator[tuple[int, int]]:
        done = begin = cursor or 0
        while done < begin + ITEMS or self.progress.resumptions < until:
            done += 1
            yield done, done

    def each_iteration(self, item: int, given: Any, add: int = 0, **_: Any) -> None:
        time.sleep(0.005)
        note(f"{_['tag']}:{item}")
        self.carry["result"] = summed(given, add)

    def result(self, *args: Any, **_: Any) -> Any:
        return self.carry["result"]


app.register_task(Walk())


@app.task(name="canvas.plus")
def plus(given: int, add: int) -> int:
    """A plain task in front of a run, or behind it."""
    return given + add


@app.task(name="canvas.total")
def total(values: list[int], tag: str = "total") -> int:
    """The plain body of a chord."""
    note(f"{tag}={values}")
    return sum(values)


@app.task(name="canvas.tell")
def tell(value: Any, tag: str) -> Any:
    """A callback: notes what it was given."""
    note(f"{tag}={value}")
    return value


@app.task(name="canvas.tell_error")
def tell_error(request: Any, exc: Any, traceback: Any, tag: str) -> None:
    """An errback: notes the error."""
    note(f"{tag}={exc}")
