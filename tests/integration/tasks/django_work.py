"""A process with Django whose tasks hold transactions open: runs each case, prints what was left.

``python -m tests.integration.tasks.django_work DATABASE-AS-JSON WAY…``
"""

# mypy: allow-untyped-decorators, disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.exceptions import Ignore
from django.conf import settings

ALIASES = ("default", "other")
base = json.loads(sys.argv[1])
# On a server both aliases have one database; each connection has transactions of its own.
settings.configure(
    DATABASES={a: {**base, "NAME": base["NAME"].replace("ALIAS", a)} for a in ALIASES},
    USE_TZ=True,
    INSTALLED_APPS=[],
)

import django  # noqa: E402

django.setup()

from django.db import connections, models, transaction  # noqa: E402

from celery_graceful import Graceful, IterableTask  # noqa: E402
from celery_graceful.execution.loop.current import current_execution  # noqa: E402
from celery_graceful.execution.owned import owned_run  # noqa: E402
from celery_graceful.model.run.cursor import decode  # noqa: E402
from celery_graceful.model.run.reasons import StopReason  # noqa: E402
from celery_graceful.model.run.record import RunKey  # noqa: E402
from celery_graceful.runtime import runtime_of  # noqa: E402
from celery_graceful.stop import flag  # noqa: E402
from celery_graceful.testing import assert_resumable  # noqa: E402
from tests.integration.tasks.conftest import TASK, as_seen_by_a_child, take  # noqa: E402

ITEMS = 90
STOP_AT = 41


class Row(models.Model):  # type: ignore[misc]
    """One item that was done."""

    item = models.IntegerField(primary_key=True)

    class Meta:
        app_label = "tests"


def save(item: int, alias: str = "default") -> None:
    Row.objects.using(alias).update_or_create(item=item)


def insert(item: int, alias: str) -> None:
    """The same without the block that Django's own methods open."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"INSERT INTO tests_row VALUES ({item})")


def stop_at(item: int) -> None:
    """The worker is asked to stop while ``item`` is done, in the first execution."""
    execution: Any = current_execution.get()
    run = owned_run(execution.task.request)
    if item == STOP_AT and not execution.resumed and run is not None:
        run.flag.raise_(StopReason.SHUTDOWN)
        execution.fuse.clear()


def pages(
    around: Callable[[], Any], first: int = 0, alias: str = "default", done: Any = save
) -> Any:
    """A generator whose pages of 20, from item ``first`` on, are done within ``around()``."""

    def body(*, cursor: int = -1):
        item = cursor + 1
        while item < ITEMS:
            with around() if item >= first else nullcontext():
                for item in range(item, min(item + 20, ITEMS)):  # noqa: B020
                    done(item, alias)
                    stop_at(item)
                    yield item
            item += 1

    return body


# -- the cases -------------------------------------------------------------------------------


def a_page(app):
    return pages(transaction.atomic)


def a_later_page(app):
    return pages(transaction.atomic, first=40)


def nested(app):
    @contextmanager
    def blocks():
        with transaction.atomic(), transaction.atomic():
            yield

    return pages(blocks, first=40)


def another_alias(app):
    return pages(lambda: transaction.atomic(using="other"), first=40, alias="other")


def no_autocommit(app):
    @contextmanager
    def off():
        transaction.set_autocommit(False)
        try:
            yield
            transaction.commit()
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    return pages(off, first=40, done=insert)


def begun_by_hand(app):
    @contextmanager
    def begun():
        with connections["default"].cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise

    return pages(begun, first=40, done=insert)


def around_all(app):
    def body(*, cursor: int = -1):
        with transaction.atomic():
            for item in range(cursor + 1, ITEMS):
                save(item)
                stop_at(item)
                yield item

    return body


def left_open_at_the_end(app):
    def body(*, cursor: int = -1):
        for item in range(cursor + 1, ITEMS):
            save(item)
            yield item
        transaction.atomic().__enter__()
        save(1000)

    return body


def each_item(app):
    def body(*, cursor: int = -1):
        for item in range(cursor + 1, ITEMS):
            with transaction.atomic(), transaction.atomic():
                save(item)
            stop_at(item)
            yield item

    return body


def a_page_as_item(app):
    def body(*, cursor: int = -1):
        for first in range(cursor + 1, ITEMS, 10):
            with transaction.atomic():
                for item in range(first, first + 10):
                    save(item)
                    stop_at(item)
            yield first + 9

    return body


class Locked(IterableTask):
    """Rows that are locked page by page, as for a queue in a table."""

    abstract = True
    #: The pages from this item on are locked, up to that one.
    first, last = 0, ITEMS
    fails_at: int | None = None
    stops = True
    autoretry_for = (ValueError,)
    default_retry_delay = 0

    def build_enumerator(self, *, cursor):
        for item in range(0 if cursor is None else cursor + 1, ITEMS, 10):
            locked = self.first <= item < self.last
            with transaction.atomic() if locked else nullcontext():
                for _ in Row.objects.select_for_update().filter(item=item) if locked else ():
                    pass
                for number in range(item, item + 10):
                    yield number, number

    def each_iteration(self, item):
        if item == self.fails_at and not self.request.retries:
            raise ValueError(item)
        save(item)
        if self.stops:
            stop_at(item)


def locked(app):
    return type("Work", (Locked,), {"name": TASK})


def locked_later(app):
    return type("Work", (Locked,), {"name": TASK, "first": 40})


def locked_and_failed(app):
    """Its block is opened after a look, and closed before the next one, after 31 items."""
    between = {"first": 20, "last": 30, "stops": False}
    return type("Work", (Locked,), {"name": TASK, "fails_at": 25, **between})


CASES: list[Callable[[Any], Any]] = [
    a_page,
    a_later_page,
    nested,
    another_alias,
    no_autocommit,
    begun_by_hand,
    around_all,
    left_open_at_the_end,
    each_item,
    a_page_as_item,
    locked,
    locked_later,
    locked_and_failed,
]

# -- running them ----------------------------------------------------------------------------


def make(case: Callable[[Any], Any]) -> Any:
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(graceful_store=f"memory://{uuid4()}", graceful_release_timeout=0.1)
    Graceful(app)
    body = case(app)
    if isinstance(body, type):
        app.register_task(body())
    else:
        app.task(base=IterableTask, name=TASK, shared=False)(body)
    app.finalize()
    return app


def rows() -> list[int]:
    return sorted({i for a in ALIASES for i in Row.objects.using(a).values_list("item", flat=True)})


def let_go() -> None:
    """End what a case has left open, as the end of its process would."""
    for alias in ALIASES:
        connections[alias].close()
        del connections[alias]


def clean() -> None:
    for alias in ALIASES:
        Row.objects.using(alias).all().delete()


def in_a_worker(app: Any) -> dict[str, Any]:
    """Deliver the run's messages until there is no more."""
    task = app.tasks[TASK]
    run = RunKey(TASK, task.delay().id)
    executions, error = 0, None
    while (message := take(app)) is not None:
        executions += 1
        flag.owned("w@host/1")
        context = as_seen_by_a_child(app, message)
        task.push_request(**{**context.__dict__, "is_eager": False, "called_directly": False})
        try:
            task.run()
        except Ignore:
            pass
        except Exception as exc:
            error = f"{type(exc).__name__}: {exc}"
        finally:
            task.pop_request()
            flag.withdraw()
    record = runtime_of(app).store.load(run).record
    saved = None if record is None or record.checkpoint is None else decode(record.checkpoint)
    let_go()
    return {
        "error": error,
        "executions": executions,
        "saved": None if saved is None else saved.cursor,
        "steps": None if saved is None else saved.steps,
        "rows": rows(),
    }


def eagerly(app: Any) -> dict[str, Any]:
    try:
        app.tasks[TASK]()
        error = None
    except Exception as exc:
        error = f"{type(exc).__name__}: {exc}"
    return {"error": error}


def within_a_transaction(app: Any) -> dict[str, Any]:
    """As a test case of Django does."""
    try:
        with transaction.atomic(), transaction.atomic(using="other"):
            told = eagerly(app)
            raise InterruptedError
    except InterruptedError:
        return told


def as_checked(app: Any) -> dict[str, Any]:

    def begin() -> None:
        let_go()
        clean()

    try:
        assert_resumable(app.tasks[TASK], outcome=rows, reset=begin, limit=2)
        return {"error": None}
    except AssertionError as exc:
        return {"error": str(exc)}


def without_database() -> list[str]:
    """The aliases that are connected after a run that uses none."""
    let_go()

    def body(*, cursor: int = -1):
        yield from range(cursor + 1, 3)

    in_a_worker_of_its_own = make(lambda app: body)
    in_a_worker_of_its_own.tasks[TASK]()
    return [connection.alias for connection in connections.all(initialized_only=True)]


def main() -> None:
    for alias in ALIASES:
        if Row._meta.db_table not in connections[alias].introspection.table_names():
            with connections[alias].schema_editor() as editor:
                editor.create_model(Row)
    found: dict[str, Any] = {}
    for case in CASES:
        found[case.__name__] = {}
        for way in [globals()[name] for name in sys.argv[2:]]:
            clean()
            app = make(case)
            found[case.__name__][way.__name__] = way(app)
            let_go()
            runtime_of(app).store.close()
            app.close()
    clean()
    found["connected"] = without_database()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
