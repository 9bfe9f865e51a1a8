"""Iterable tasks that commit their work, or are in the middle of a transaction at a stop."""

# mypy: allow-untyped-decorators
from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.conf import settings
from sqlalchemy import create_engine, text

from celery_graceful import IterableTask, stopping
from celery_graceful.execution.loop.current import current_execution
from tests.acceptance.apps.making import make_app, note

FOLDER = os.environ.get("ROWS", "/nowhere")
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/django.db"}},
    INSTALLED_APPS=[],
)

from django.db import connection, transaction  # noqa: E402

app = make_app("uncommitted")

INSERT = "INSERT INTO done VALUES ({})"
#: The first item of the open transaction, between two looks of the loop, and the last of all.
OPENED, ITEMS = 32, 60
#: From this item on it is noted that the stop may come.
READY = 36

#: Calls what it is given with a function that executes a statement.
Block = Callable[[], AbstractContextManager[Callable[[str], Any]]]


def within(block: Block, tag: str, *, cursor: int) -> Iterator[int]:
    """Items that are committed one by one, then some in one transaction, where the stop comes."""
    for item in range(cursor + 1, OPENED):
        with block() as execute:
            execute(INSERT.format(item))
        yield item
    with block() as execute:
        for item in range(max(cursor + 1, OPENED), ITEMS):
            execute(INSERT.format(item))
            if item == READY:
                wait_for_stop(tag)
            yield item


def wait_for_stop(tag: str) -> None:
    """Say that it may come, and wait for it."""
    note(tag)
    until = time.monotonic() + 60
    execution: Any = current_execution.get()
    # An empty fuse: the loop looks before the next item.
    while not (stopping() and not execution.fuse) and time.monotonic() < until:
        time.sleep(0.01)


@contextmanager
def by_django() -> Iterator[Callable[[str], Any]]:
    with transaction.atomic(), connection.cursor() as cursor:
        yield cursor.execute


@contextmanager
def by_sqlite3() -> Iterator[Callable[[str], Any]]:
    own = sqlite3.connect(f"{FOLDER}/sqlite3.db", timeout=30)
    with own:
        yield own.execute
    own.close()


@contextmanager
def by_sqlalchemy() -> Iterator[Callable[[str], Any]]:
    with engine.begin() as own:
        yield lambda statement: own.execute(text(statement))


engine = create_engine(f"sqlite:///{FOLDER}/sqlalchemy.db")


class Work(IterableTask):
    """Saves nothing before the stop."""

    abstract = True
    checkpoint_interval = 600


@app.task(base=Work, name="uncommitted.django")
def with_django(*, cursor: int = -1) -> Iterator[int]:
    """Within a block of Django's."""
    yield from within(by_django, "django", cursor=cursor)


@app.task(base=Work, name="uncommitted.sqlite3")
def with_sqlite3(*, cursor: int = -1) -> Iterator[int]:
    """Within a transaction of a driver's own."""
    yield from within(by_sqlite3, "sqlite3", cursor=cursor)


@app.task(base=Work, name="uncommitted.sqlalchemy")
def with_sqlalchemy(*, cursor: int = -1) -> Iterator[int]:
    """Within one of SQLAlchemy's."""
    yield from within(by_sqlalchemy, "sqlalchemy", cursor=cursor)


@app.task(base=Work, name="uncommitted.committed")
def committed(*, cursor: int = -1) -> Iterator[int]:
    """Each item in a transaction of its own."""
    for item in range(cursor + 1, ITEMS):
        own = sqlite3.connect(f"{FOLDER}/committed.db", timeout=30)
        with own:
            own.execute(INSERT.format(item))
        own.close()
        if item == READY:
            wait_for_stop("committed")
        yield item
