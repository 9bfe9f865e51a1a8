"""Iterable tasks whose items take a while, are noted in a ledger of the run, and are summed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from celery_graceful import IterableTask, iterable_task
from tests.acceptance.apps.making import make_app
from tests.harness.ledger import Ledger

app = make_app("items")


def do(item: int, path: str, pause: float) -> None:
    """Take ``pause`` seconds, or none once there is a file ``path`` + ``.hurry``; then note it."""
    if not os.path.exists(f"{path}.hurry"):
        Path(f"{path}.begun").write_text(str(item))
        time.sleep(pause)
    Ledger(path).add(item)


@app.task(name="items.generator", base=IterableTask, bind=True)
def generator(
    self: Any, path: str, items: int, pause: float, *, cursor: int = -1
) -> Generator[int, None, dict[str, Any]]:
    """A generator; returns the task id and the sum of its items."""
    for item in range(cursor + 1, items):
        do(item, path, pause)
        self.carry["sum"] = self.carry.get("sum", 0) + item
        yield item
    return {"id": self.request.id, "sum": self.carry.get("sum", 0)}


@iterable_task
class Enumerated(IterableTask):
    """The same as a class."""

    name = "items.class"

    def build_enumerator(
        self, path: str, items: int, pause: float, *, cursor: int | None
    ) -> Iterator[tuple[int, int]]:
        for item in range(0 if cursor is None else cursor + 1, items):
            yield item, item

    def each_iteration(self, item: int, path: str, items: int, pause: float) -> None:
        do(item, path, pause)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def count(self, path: str, items: int, pause: float) -> int:
        return items

    def result(self, path: str, items: int, pause: float) -> dict[str, Any]:
        return {"id": self.request.id, "sum": self.carry.get("sum", 0)}


@app.task(name="items.heavy", base=IterableTask, bind=True)
def heavy(
    self: Any, path: str, items: int, pause: float, *, cursor: int = -1
) -> Generator[int, None, int]:
    """Its checkpoint is too large to travel with a message."""
    self.carry["weight"] = "x" * 40_000
    for item in range(cursor + 1, items):
        do(item, path, pause)
        yield item
    return items


@app.task(name="items.crashing", base=IterableTask)
def crashing(path: str, items: int, bad: int, *, cursor: int = -1) -> Iterator[int]:
    """Item ``bad`` kills the process that runs it."""
    for item in range(cursor + 1, items):
        if item == bad:
            Ledger(path).add("crashing")
            os.kill(os.getpid(), signal.SIGKILL)
        do(item, path, 0.001)
        yield item


@app.task(name="items.retries", base=IterableTask, bind=True)
def retries(self: Any, path: str, items: int, *, cursor: int = -1) -> Generator[int, None, int]:
    """Half of the items, then a retry a second later."""
    for item in range(cursor + 1, items):
        if item == items // 2 and not self.request.retries:
            self.retry(countdown=1)
        do(item, path, 0.0)
        yield item
    return items


@app.task(
    name="items.stubborn",
    base=IterableTask,
    bind=True,
    autoretry_for=(Exception,),
    default_retry_delay=0,
)
def stubborn(self: Any, path: str, items: int, *, cursor: int = -1) -> Generator[int, None, int]:
    """Whatever is raised is retried; returns how often that was."""
    for item in range(cursor + 1, items):
        do(item, path, 0.0)
        yield item
    return int(self.request.retries)


@app.task(name="items.ends", base=IterableTask)
def ends(path: str, outcome: str, *, cursor: int = -1) -> Generator[int, None, str]:
    """Items until there is a file ``path`` + ``.hurry``, then a result, or an error."""
    item = cursor + 1
    while not os.path.exists(f"{path}.hurry"):
        do(item, path, 0.005)
        yield item
        item += 1
    Ledger(path).add("last")
    if outcome == "error":
        raise ZeroDivisionError(outcome)
    return "done"


@app.task(name="items.tell")
def tell(value: Any, path: str) -> None:
    """A callback: notes what it was given."""
    Ledger(path).add(repr(value))


@app.task(name="items.tell_error")
def tell_error(request: Any, exc: Any, traceback: Any, path: str) -> None:
    """An errback: notes the error's class."""
    Ledger(path).add(type(exc).__name__)
