"""Bugs around what a task keeps, and where."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from decimal import Decimal

from celery_graceful import IterableTask
from tests.unit.testing.planted import N, Numbers, planted


@planted("interrupted after item 2 of 5", "carry:", "self.carry is changed")
def carry_after_the_yield(app):
    @app.task(base=IterableTask, shared=False, bind=True)
    def work(self, n, *, cursor=-1):
        for i in range(cursor + 1, n):
            yield i
            self.carry["items"] = self.carry.get("items", 0) + 1

    return work, {}


@planted("terminated (SIGTERM) inside item 1 of 5", "carry:", "do it last")
def carry_before_the_work_class(app):
    done = set()

    class Work(Numbers):
        name = "carry-first"

        def each_iteration(self, item, n):
            super().each_iteration(item, n)
            self.carry["items"] = self.carry.get("items", 0) + 1
            done.add(item)

    return app.register_task(Work()), {"outcome": lambda: done, "reset": done.clear}


@planted("terminated (SIGTERM) inside item 1 of 5", "result:", "do it last")
def carry_before_the_work_generator(app):
    done = set()

    def save(item):
        done.add(item)

    @app.task(base=IterableTask, shared=False, bind=True)
    def work(self, n, *, cursor=-1):
        for i in range(cursor + 1, n):
            self.carry["items"] = self.carry.get("items", 0) + 1
            save(i)
            yield i
        return self.carry["items"]

    return work, {"outcome": lambda: done, "reset": done.clear}


@planted("interrupted after item 2 of 5", "result:", "self.total", "Keep what a later execution")
def state_on_self(app):
    class Work(Numbers):
        name = "on-self"
        total = 0

        def each_iteration(self, item, n):
            self.total += item

        def result(self, n):
            return self.total

    return app.register_task(Work()), {}


@planted("interrupted after item 2 of 5", "result:", "Work.sums")
def state_on_the_class(app):
    class Work(Numbers):
        name = "on-class"
        sums: dict[str, int] = {}  # noqa: RUF012 - the bug

        def each_iteration(self, item, n):
            self.sums["all"] = self.sums.get("all", 0) + item

        def result(self, n):
            return self.sums.get("all", 0)

    return app.register_task(Work()), {}


_sums: dict[str, int] = {}
_count = 0


@planted("interrupted after item 2 of 5", "result:", "the global _sums")
def state_in_a_global(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            _sums["items"] = _sums.get("items", 0) + 1
            yield i
        return _sums["items"]

    return work, {}


@planted("interrupted after item 2 of 5", "result:", "the global _count")
def state_in_a_global_that_a_helper_sets(app):
    def add():
        global _count
        _count += 1

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            add()
            yield i
        return _count

    return work, {}


@planted("interrupted after item 2 of 5", "result:", "the enclosing variable count")
def state_in_an_enclosing_function(app):
    count = 0

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        nonlocal count
        for i in range(cursor + 1, n):
            count += 1
            yield i
        return count

    return work, {}


@planted("interrupted after item 2 of 5", "result:", "what the result is made of")
def result_of_the_execution(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        count = 0
        for i in range(cursor + 1, n):
            count += 1
            yield i
        return count

    return work, {}


@planted("interrupted after item 2 of 5", "items of the execution")
def state_in_the_arguments(app):
    @app.task(base=IterableTask, shared=False)
    def work(rows, *, cursor=None):
        while rows:
            yield rows.pop(0)

    return work, {"args": (list(range(N)),)}


@planted("interrupted before the first item", "AttributeError", "on_start is not called again")
def set_up_at_the_start_only(app):
    class Work(Numbers):
        name = "set-up"

        def on_start(self, n):
            self.factor = Decimal(2)

        def each_iteration(self, item, n):
            self.carry["sum"] = self.carry.get("sum", 0) + item * self.factor

    return app.register_task(Work()), {}
