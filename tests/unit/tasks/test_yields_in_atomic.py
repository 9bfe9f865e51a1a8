"""A yield inside ``transaction.atomic()`` is seen in the source of a task."""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celery import Celery
from django.db import transaction
from django.db.transaction import atomic as in_transaction

from celery_graceful import IterableTask
from celery_graceful.tasks.yields_in_atomic import unsafe_yields

app = Celery("yielding", broker="memory://", set_as_current=False)


def atomic() -> Any:
    """Of the project's own, with the name of Django's."""


def work(row: int) -> None: ...


def lines_of(task: Any) -> list[str]:
    return [found.partition(": ")[2] for found in unsafe_yields(app.tasks[task.name])]


@app.task(base=IterableTask, shared=False, name="yielding.block")
def block(*, cursor: int = 0) -> Iterable[int]:
    for row in range(cursor, 9):
        with transaction.atomic():
            work(row)
            if row % 2:
                yield row
            yield row


@app.task(base=IterableTask, shared=False, name="yielding.other")
def other_names(*, cursor: int = 0) -> Iterable[int]:
    from django.db import transaction as local

    with open("file"), in_transaction(using="other"), local.atomic():
        yield from range(cursor, 9)


@app.task(base=IterableTask, shared=False, name="yielding.decorated", bind=True)
@transaction.atomic(using="other")
def decorated(self: Any, *, cursor: int = 0) -> Iterable[int]:
    yield cursor


@app.task(base=IterableTask, shared=False, name="yielding.right")
def right(*, cursor: int = 0) -> Iterable[int]:
    for row in range(cursor, 9):
        with transaction.atomic():
            work(row)

            def inner() -> Iterable[int]:
                yield cursor

            list(inner())
        with atomic():
            yield row


class Enumerated(IterableTask):
    name = "yielding.enumerated"

    def build_enumerator(self, *, cursor: int | None) -> Iterable[Any]:
        with transaction.atomic():
            yield 1, 1

    def each_iteration(self, item: int) -> None:
        with transaction.atomic():
            work(item)


app.register_task(Enumerated())


def test_a_block_around_a_yield() -> None:
    found = unsafe_yields(app.tasks[block.name])
    assert len(found) == 2
    assert "yielding.block (" in found[0]
    assert "test_yields_in_atomic.py:36)" in found[0]
    assert "block of line 33: the checkpoint would be saved" in found[0]


def test_by_any_name_that_it_has() -> None:
    assert len(lines_of(other_names)) == 1


def test_as_a_decorator() -> None:
    (found,) = lines_of(decorated)
    assert "has ended before the first item" in found


def test_in_an_enumerator() -> None:
    assert len(lines_of(Enumerated)) == 1


def test_a_block_that_ends_before_the_yield() -> None:
    assert lines_of(right) == []
