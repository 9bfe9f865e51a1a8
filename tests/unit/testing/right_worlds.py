"""Tasks that resume well, and leave something in the world."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace

from celery_graceful import IterableTask
from tests.unit.testing.planted import N, Numbers
from tests.unit.testing.right import right


@right
def a_table(app, folder):
    path = folder / "rows.db"

    def run(statement, *values):
        with closing(sqlite3.connect(path)) as db, db:
            return db.execute(statement, values).fetchall()

    def reset():
        run("DROP TABLE IF EXISTS done")
        run("CREATE TABLE done (id INTEGER PRIMARY KEY, doubled INTEGER)")

    class Work(Numbers):
        name = "table"

        def each_iteration(self, item, n):
            run("INSERT OR REPLACE INTO done VALUES (?, ?)", item, 2 * item)
            self.carry["rows"] = self.carry.get("rows", 0) + 1

        def result(self, n):
            return self.carry["rows"]

    outcome = lambda: run("SELECT * FROM done ORDER BY id")  # noqa: E731
    return app.register_task(Work()), {"outcome": outcome, "reset": reset}


@right
def carry_within_a_transaction(app, folder):
    db = sqlite3.connect(folder / "rows.db")
    db.execute("CREATE TABLE done (id INTEGER PRIMARY KEY)")

    class Work(Numbers):
        name = "transaction"

        def each_iteration(self, item, n):
            with db:
                db.execute("INSERT OR REPLACE INTO done VALUES (?)", (item,))
                super().each_iteration(item, n)

    def reset():
        with db:
            db.execute("DELETE FROM done")

    return app.register_task(Work()), {
        "outcome": lambda: db.execute("SELECT * FROM done").fetchall(),
        "reset": reset,
        "afterwards": db.close,
    }


@right
def effects_that_cannot_be_repeated_without_crashes(app, folder):
    sent = []

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            sent.append(i)
            yield i

    return work, {"outcome": lambda: sent, "reset": sent.clear, "crashes": False}


_queue: list[int] = []
_served: set[int] = set()


def _fill():
    _queue[:] = range(N)
    _served.clear()


@right
def a_source_that_shrinks(app, folder):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=None):
        while _queue:
            _served.add(_queue[0])
            yield _queue.pop(0)

    # After a crash the queue has gone on, so the items are others than at first.
    return work, {"outcome": lambda: _served, "reset": _fill, "ignore": ["items"]}


@right
def the_primary_key_of_a_django_object_after_the_carry(app, folder):
    from django.db.models.base import Model

    class Row:
        _meta = SimpleNamespace(pk=SimpleNamespace(attname="id"))
        pk = property(Model._get_pk_val)

        def __init__(self, number):
            self.id = number

    @app.task(base=IterableTask, bind=True, name="rows")
    def rows(self, n, *, cursor=-1):
        for row in map(Row, range(cursor + 1, n)):
            self.carry["rows"] = self.carry.get("rows", 0) + 1
            yield row.pk
        return self.carry["rows"]

    return rows, {}
