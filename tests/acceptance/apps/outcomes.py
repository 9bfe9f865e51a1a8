"""Tasks that end in odd ways: exceptions that are no ``Exception``, results no JSON can hold."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

from celery import signals as celery_signals

from celery_graceful import IterableTask, iterable_task, stopping
from tests.acceptance.apps.making import make_app, note

app = make_app("outcomes")


class Own(BaseException):
    """Of the user's own."""


RAISED = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "CancelledError": asyncio.CancelledError(),
    "GeneratorExit": GeneratorExit(),
    "Own": Own("mine"),
}


def end(tag: str, kind: str) -> None:
    """Note that ``tag`` was run, and raise."""
    note(tag)
    if kind == "SystemExit":
        sys.exit(3)
    raise RAISED[kind]


@app.task(base=IterableTask, name="outcomes.generator")
def generator(tag: str, kind: str, pause: float = 0, *, cursor: int = -1) -> Iterator[int]:
    """The third item raises."""
    for item in range(cursor + 1, 5):
        if item == 3:
            end(tag, kind)
        time.sleep(pause)
        yield item


class RaisingBase(IterableTask):
    """Raises in one of its methods."""

    abstract = True
    checkpoint_interval = 0.05

    def _at(self, place: str, wanted: str, tag: str, kind: str) -> None:
        if place == wanted:
            end(tag, kind)

    def build_enumerator(self, at: str, *args: Any, cursor: int | None) -> Any:
        self._at("enumerator", at, *args)
        return ((i, i) for i in range(0 if cursor is None else cursor + 1, 5))

    def each_iteration(self, item: int, at: str, *args: Any) -> None:
        time.sleep(0.03)
        if item == 3:
            self._at("item", at, *args)

    def count(self, at: str, *args: Any) -> int:
        self._at("count", at, *args)
        return 5

    def result(self, at: str, *args: Any) -> str:
        self._at("result", at, *args)
        return "done"

    def on_start(self, at: str, *args: Any) -> None:
        self._at("on_start", at, *args)

    def on_complete(self, at: str, *args: Any) -> None:
        self._at("on_complete", at, *args)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        super().before_start(task_id, args, kwargs)
        self._at("before_start", *args)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self._at("on_success", *args)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._at("on_failure", *args)

    def after_return(self, status: str, *args: Any) -> None:
        self._at("after_return", *args[2])


@iterable_task
class Raising(RaisingBase):
    """Raises nothing else."""

    name = "outcomes.raising"


@iterable_task
class Failing(RaisingBase):
    """Its item raises an ordinary error, and what is called for that raises too."""

    name = "outcomes.failing"

    def each_iteration(self, item: int, at: str, *args: Any) -> None:
        time.sleep(0.03)
        if item == 3:
            raise ValueError("ordinary")


@app.task(base=IterableTask, name="outcomes.at_a_stop")
def at_a_stop(tag: str, kind: str, *, cursor: int = -1) -> Iterator[int]:
    """Raises within the item at which the worker stops."""
    for item in range(cursor + 1, 5):
        note(f"{tag} begins")
        while not stopping():
            time.sleep(0.02)
        end(tag, kind)
        yield item


@app.task(name="outcomes.plain_exit")
def plain_exit(tag: str) -> None:
    """A plain task."""
    end(tag, "SystemExit")


@app.task(name="outcomes.note_failure")
def note_failure(request: Any, exc: Any, traceback: Any, tag: str) -> None:
    """An error callback."""
    note(f"{tag} failed")


@app.task(name="outcomes.note_value")
def note_value(value: Any, tag: str) -> str:
    """A callback, or the next in a chain."""
    note(f"{tag} got {value}")
    return f"got {value}"


@app.task(base=IterableTask, name="outcomes.returning", checkpoint_interval=0.1)
def returning(what: str, pause: float, *, cursor: int = -1) -> Iterator[int]:
    """Returns what may not be storable."""
    for item in range(cursor + 1, 4):
        time.sleep(pause)
        yield item
    return {"object": object(), "number": 7, "set": {1}}[what]  # type: ignore[return-value]


class Unshowable(Exception):
    """No JSON can hold what is in it, and it cannot show itself."""

    def __init__(self) -> None:
        super().__init__(object(), b"\xff")

    def __repr__(self) -> str:
        raise RuntimeError("no")


@app.task(base=IterableTask, name="outcomes.unshowable", checkpoint_interval=0.1)
def unshowable(pause: float, *, cursor: int = -1) -> Iterator[int]:
    """Fails with that."""
    for item in range(cursor + 1, 4):
        time.sleep(pause)
        yield item
    raise Unshowable


@celery_signals.task_postrun.connect
def exit_after(task: Any, args: Any, **_: Any) -> None:
    """A receiver that ends the process, or so it thinks."""
    if args and args[0] == "task_postrun":
        end(args[1], args[2])
