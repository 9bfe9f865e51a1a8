"""Tasks that resume well, each with the options to examine it with."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from celery_graceful import IterableTask, sources
from tests.unit.testing.planted import N, Numbers

#: What makes each task: from an app and an empty folder, the task and options. Among these may be
#: ``args``, and ``afterwards``, which is called at the end.
RIGHT: dict[str, Callable[[Any, Path], tuple[Any, dict[str, Any]]]] = {}


def right(make: Any) -> Any:
    """Enter a maker of a right task in the table."""
    RIGHT[make.__name__] = make
    return make


class Flaky(Exception):
    """Fails some times."""


@right
def generator(app, folder):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        yield from range(cursor + 1, n)
        return n

    return work, {}


@right
def class_style(app, folder):
    return app.register_task(
        type("Work", (Numbers,), {"name": "right", "__module__": "right"})()
    ), {}


@right
def seeded(app, folder):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor):
        yield from range(cursor + 1, n)

    class Work(Numbers):
        name = "seeded"

        def count(self, n):
            return n

    return app.register_task(Work()), {"kwargs": {"n": N, "cursor": 1}, "args": ()}


@right
def no_item(app, folder):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=None):
        yield from ()
        return "nothing to do"

    return work, {}


@right
def bound_with_carry(app, folder):
    @app.task(base=IterableTask, shared=False, bind=True)
    def work(self, n, *, cursor=-1):
        for i in range(cursor + 1, n):
            self.carry.setdefault("done", []).append(i)
            yield i
        assert self.progress.current == n
        return {"done": self.carry["done"], "id": self.request.id}

    return work, {}


@right
def hooks(app, folder):
    class Hooked(IterableTask):
        abstract = True

        def on_start(self, n):
            self.carry["started"] = self.carry.get("started", 0) + 1
            self.open()

        def on_resume(self, n):
            self.open()

        def open(self):
            self.factor = 2

        def on_stop(self, reason, n):
            assert reason == "shutdown"
            assert self.carry["started"] == 1

        def count(self, n):
            return n

        @contextmanager
        def around_iteration(self, item, n):
            yield

    @app.task(base=Hooked, shared=False, bind=True)
    def work(self, n, *, cursor=-1):
        yield from range(cursor + 1, n)
        return self.factor * n

    return work, {}


@right
def caches_and_memos(app, folder):
    memo: dict[int, int] = {}

    class Work(Numbers):
        name = "caching"
        seen: dict[int, int] = {}  # noqa: RUF012 - a cache

        @cached_property
        def factor(self):
            return 3

        def each_iteration(self, item, n):
            self.seen[item] = memo.setdefault(item, item * self.factor)
            self.carry["sum"] = self.carry.get("sum", 0) + self.seen[item]

    return app.register_task(Work()), {}


@right
def pages(app, folder):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=0):
        for i in range(cursor + 1, n + 1):
            yield i // 2 * 2

    return work, {"coarse_cursor": True}


@right
def dates_as_cursors(app, folder):
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    rows = [(noon + timedelta(hours=i // 2), i) for i in range(N)]

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=None):
        for row in rows:
            if cursor is None or row > cursor:
                yield row

    return work, {}


@right
def retried(app, folder):
    failures = [2]

    class Work(Numbers):
        name = "retried"
        autoretry_for = (Flaky,)
        default_retry_delay = 0

        def each_iteration(self, item, n):
            if item == 3 and failures[0]:
                failures[0] -= 1
                raise Flaky
            super().each_iteration(item, n)

    def reset():
        failures[0] = 2

    return app.register_task(Work()), {"reset": reset}


@right
def a_file(app, folder):
    path = folder / "rows.csv"
    path.write_text("id\n" + "".join(f"{i}\n" for i in range(N)))

    class Work(IterableTask):
        name = "file"

        def build_enumerator(self, path, *, cursor):
            return sources.batches(sources.csv_rows(path, cursor=cursor), 2)

        def each_iteration(self, rows, path):
            self.carry["ids"] = [*chain(self.carry.get("ids", ()), (row["id"] for row in rows))]

        def result(self, path):
            return self.carry["ids"]

    return app.register_task(Work()), {"args": (str(path),)}


@right
def a_task_within_a_task(app, folder):
    @app.task(base=IterableTask, shared=False, name="inner")
    def inner(n, *, cursor=-1):
        yield from range(cursor + 1, n)
        return n

    @app.task(base=IterableTask, shared=False, name="outer", bind=True)
    def outer(self, n, *, cursor=-1):
        for i in range(cursor + 1, n):
            self.carry["sum"] = self.carry.get("sum", 0) + inner(i)
            yield i
        return self.carry["sum"]

    return outer, {}


@right
def more_items_than_are_tried(app, folder):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        yield from range(cursor + 1, n)

    return work, {"args": (1000,), "limit": 5}
