"""Bugs around effects, and the rest."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from celery_graceful import IterableTask
from tests.unit.testing.planted import Numbers, planted


@planted("interrupted after item 2 of 5", "outcome:", "before the yield")
def yields_before_the_work(app):
    done = set()

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            yield i
            done.add(i)

    return work, {"outcome": lambda: done, "reset": done.clear}


@planted("interrupted after item 3 of 5", "outcome:", "buffers included")
def buffers_past_the_yield(app):
    done = set()

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        buffer = []
        for i in range(cursor + 1, n):
            buffer.append(i)
            if len(buffer) == 2:
                done.update(buffer)
                buffer.clear()
            yield i
        done.update(buffer)

    return work, {"outcome": lambda: done, "reset": done.clear}


@planted("crashed after item 2 of 5", "saved after item 1 of 5", "outcome:", "Work.buffer: it dies")
def writes_at_a_stop_only(app):
    done = set()

    class Work(Numbers):
        name = "at-a-stop"
        buffer: list[int] = []  # noqa: RUF012 - the bug

        def each_iteration(self, item, n):
            self.buffer.append(item)

        def on_stop(self, reason, n):
            done.update(self.buffer)

        def on_complete(self, n):
            done.update(self.buffer)

    return app.register_task(Work()), {"outcome": lambda: done, "reset": done.clear}


@planted("crashed after item 2 of 5", "outcome:", "upserts", "crashes=False")
def effects_that_cannot_be_repeated(app):
    done = []

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            done.append(i)
            yield i

    return work, {"outcome": lambda: list(done), "reset": done.clear}


# -- the rest --------------------------------------------------------------------------------


@planted("at its end, after item 5", "count() said 6")
def total_miscounted(app):
    class Work(Numbers):
        name = "miscounted"

        def count(self, n):
            return n + 1

    return app.register_task(Work()), {}


@planted("undisturbed, after 3 items", "ValueError('three')")
def fails_by_itself(app):
    class Work(Numbers):
        name = "fails"

        def each_iteration(self, item, n):
            if item == 3:
                raise ValueError("three")

    return app.register_task(Work()), {}


@planted("undisturbed a second time", "outcome:", "`reset=`")
def a_world_that_is_not_reset(app):
    done = []

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            done.append(i)
            yield i

    return work, {"outcome": lambda: list(done)}


@planted("interrupted after item 2 of 5", "items of the execution")
def never_ends_when_resumed(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        i = cursor
        while i + 1 != n:
            i += 1 if cursor < 0 else n
            yield i

    return work, {}
