"""Runs whose PROGRESS is written to a database; ``DATABASE`` is its file.

Notes which threads open and close connections to it, and each PROGRESS.
"""

# mypy: allow-untyped-decorators
from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from celery.backends.base import Backend

from celery_graceful import IterableTask
from tests.acceptance.apps.making import make_app, note, noted


def tell(what: str) -> None:
    """Note what this thread does, unless it is the one that imports."""
    name = threading.current_thread().name
    if name != "MainThread":
        note(f"{what} {os.getpid()} {name}")


if os.environ.get("RESULT_URL") == "django-db":
    import django
    from django.conf import settings
    from django.db.backends.signals import connection_created
    from django.db.backends.sqlite3.base import DatabaseWrapper

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["DATABASE"],
                "OPTIONS": {"timeout": 60},
            }
        },
        INSTALLED_APPS=["django_celery_results"],
        USE_TZ=True,
    )
    django.setup()

    from django.core.management import call_command
    from django.db import connections

    close = DatabaseWrapper._close

    def tell_and_close(self: Any) -> None:
        """Close it, and tell if it was open."""
        if self.connection is not None:
            tell("closed")
        close(self)

    DatabaseWrapper._close = tell_and_close
    call_command("migrate", verbosity=0)
    connections.close_all()
    connection_created.connect(lambda **_: tell("opened"), weak=False)
else:
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    event.listen(Pool, "connect", lambda *_: tell("opened"))
    event.listen(Pool, "close", lambda *_: tell("closed"))

app = make_app("sql_results")

stored = Backend.store_result


def store_result(self: Any, task_id: str, result: Any, state: str, **options: Any) -> Any:
    """Tell of a PROGRESS."""
    if state == "PROGRESS":
        tell(f"progress:{task_id}")
    return stored(self, task_id, result, state, **options)


Backend.store_result = store_result  # type: ignore[method-assign,assignment]


class Counted(IterableTask):
    """Items until somebody notes ``enough``."""

    name = "sql_results.counted"
    checkpoint_interval = 0.05

    def build_enumerator(self, *, cursor: int | None) -> Iterator[tuple[int, int]]:
        item = cursor or 0
        while not noted("enough"):
            item += 1
            yield item, item

    def each_iteration(self, item: int) -> None:
        time.sleep(0.02)

    def count(self) -> int:
        return 10**6


app.register_task(Counted())
