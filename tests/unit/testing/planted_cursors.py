"""Bugs around the cursor and the source."""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from enum import IntEnum

from celery_graceful import IterableTask
from tests.unit.testing.planted import Numbers, planted


@planted("interrupted after item 2 of 5", "inclusive cursor", "cursor 1 was saved")
def inclusive_generator(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=0):
        yield from range(cursor, n)

    return work, {}


@planted("interrupted after item 2 of 5", "inclusive cursor")
def inclusive_class(app):
    class Work(Numbers):
        name = "inclusive"

        def build_enumerator(self, n, *, cursor):
            return ((i, i) for i in range(cursor or 0, n))

    return app.register_task(Work()), {}


@planted("interrupted after item 2 of 5", "item after it was skipped")
def too_far_generator(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=0):
        for i in range(cursor, n):
            yield i + 2

    return work, {}


@planted("interrupted after item 2 of 5", "item after it was skipped")
def too_far_class(app):
    class Work(Numbers):
        name = "too-far"

        def build_enumerator(self, n, *, cursor):
            return ((i, i + 1) for i in range(0 if cursor is None else cursor + 1, n))

    return app.register_task(Work()), {}


@planted("interrupted after item 2 of 5", "cursor reaches the source")
def not_passed_generator(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=None):
        yield from range(n)

    return work, {}


@planted("interrupted after item 2 of 5", "cursor reaches the source")
def not_passed_class(app):
    class Work(Numbers):
        name = "not-passed"

        def build_enumerator(self, n, *, cursor):
            return ((i, i) for i in range(n))

    return app.register_task(Work()), {}


@planted("interrupted after item 1 of 1", "the item it names ran again")
def not_passed_with_one_item(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=None):
        yield "only"

    return work, {}


@planted("from item 1 on", "order")
def order_changes(app):
    turn = [0]

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=None):
        turn[0] += 1
        rows = [*range(turn[0] % n, n), *range(turn[0] % n)]
        start = 0 if cursor is None else rows.index(cursor) + 1
        yield from rows[start:]

    return work, {"reset": lambda: turn}


@planted("interrupted after item 2 of 5", "order of the items")
def order_changes_on_resume(app):
    class Work(Numbers):
        name = "order-changes"

        def build_enumerator(self, n, *, cursor):
            rows = list(range(n))
            if cursor is not None:
                rows[cursor + 1 :] = reversed(rows[cursor + 1 :])
            return enumerate_after(rows, cursor)

    return app.register_task(Work()), {}


def enumerate_after(rows, cursor):
    """Items with their index as cursor."""
    start = 0 if cursor is None else cursor + 1
    return ((row, i) for i, row in enumerate(rows) if i >= start)


@planted("undisturbed, after 4 items", "CursorError", "same type")
def last_cursors_lose_their_type(app):
    class Kind(IntEnum):
        ODD = 3

    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=-1):
        for i in range(cursor + 1, n):
            yield Kind.ODD if i == 3 else i

    return work, {}


@planted("after 3 items", "carry['seen'] is a frozenset")
def carry_loses_its_type(app):
    @app.task(
        base=IterableTask,
        shared=False,
        bind=True,
        autoretry_for=(Exception,),
        default_retry_delay=0,
    )
    def work(self, n, *, cursor=-1):
        for i in range(cursor + 1, n):
            if i == 2:
                self.carry["seen"] = frozenset({i})
            yield i
            self.carry.pop("seen", None)

    return work, {}


@planted("interrupted after item 3 of 5", "did not change", "coarse_cursor")
def a_page_has_one_cursor(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=0):
        for i in range(cursor + 1, n + 1):
            yield i // 2 * 2

    return work, {}


@planted("interrupted after item 2 of 4", "items of the execution")
def a_page_is_named_by_its_end(app):
    @app.task(base=IterableTask, shared=False)
    def work(n, *, cursor=0):
        for page in range(cursor, 2):
            yield page + 1
            yield page + 1

    return work, {"coarse_cursor": True}
