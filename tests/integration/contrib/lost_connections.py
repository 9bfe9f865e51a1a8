"""A process with Django on PostgreSQL, whose connections the server closes at bad moments.

``python -m tests.integration.contrib.lost_connections DATABASE`` (JSON) prints what was seen.
"""

# mypy: allow-untyped-decorators
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import psycopg

settings: Any = ModuleType("lost_settings")
database = json.loads(sys.argv[1])
settings.DATABASES = {"default": database}
settings.INSTALLED_APPS = ["celery_graceful.contrib.django", "django_celery_results"]
settings.USE_TZ = True
settings.CELERY_BROKER_URL = "memory://"
settings.CELERY_RESULT_BACKEND = "django-db"
settings.CELERY_GRACEFUL_STORE = "django://default"
settings.CELERY_GRACEFUL_CHECKPOINT_INTERVAL = 0.01
sys.modules["lost_settings"] = settings
os.environ["DJANGO_SETTINGS_MODULE"] = "lost_settings"

from celery import Celery  # noqa: E402

app = Celery("lost")
app.config_from_object("django.conf:settings", namespace="CELERY")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from celery_graceful import IterableTask, iterable_task  # noqa: E402
from celery_graceful.execution.results.state_writer import Slot, StateWriter  # noqa: E402
from celery_graceful.stores.memory_store import MemoryStore  # noqa: E402
from celery_graceful.worker.rounds import Rounds  # noqa: E402
from tests.harness.delivered import InProcess  # noqa: E402
from tests.harness.waiting import wait_for  # noqa: E402

worker = InProcess(app)


def cut() -> None:
    """Close all connections of this process, on the server's side."""
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        dbname=database["NAME"],
        autocommit=True,
    ) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


class Quarantining(IterableTask):
    name = "lost.quarantining"
    max_failed_items = 2
    done: list[int] = []  # noqa: RUF012

    def build_enumerator(self, *, cursor: int | None) -> Iterable[Any]:
        return [(n, n) for n in range(0 if cursor is None else cursor + 1, 6)]

    def each_iteration(self, item: int) -> None:
        if item == 2:
            cut()
        backend()
        self.done.append(item)
        time.sleep(0.02)  # a checkpoint becomes due


app.register_task(Quarantining())


@iterable_task(
    name="lost.retried",
    autoretry_for=(django.db.Error,),
    retry_backoff=False,
    default_retry_delay=0,
)
def retried(*, cursor: int = -1) -> Iterable[int]:
    for n in range(cursor + 1, 6):
        if n == 3 and worker.executions == first + 1:
            cut()
        backend()
        yield n


def in_state_writer() -> list[str]:
    """A write before the cut, the one that meets it, and one after it."""
    writer, slot, seen = StateWriter(), Slot(), []

    def write() -> None:
        try:
            seen.append("written" if backend() else "")
        except django.db.Error:
            seen.append("lost")

    for number in range(3):
        if number == 1:
            cut()
        writer.put(slot, write)
        assert writer.wait(slot, 10)
    writer.close()
    return seen


def left_by_rounds() -> int:
    """How many connections the rounds of a worker leave open, where ``CONN_MAX_AGE`` is 0."""
    seen: list[int] = []
    rounds = Rounds(lambda *_: seen.append(backend()), MemoryStore(), retry=1.0)
    rounds.start()
    try:
        wait_for(lambda: len(set(seen)) > 2, 20, "connections that are closed after each round")
    finally:
        rounds.stop()
    return len(set(seen))


call_command("migrate", verbosity=0)
next(iter(app._fixups)).worker_fixup.install()  # type: ignore[attr-defined]  # as in a worker
retrieved = Quarantining.done
quarantining = app.tasks["lost.quarantining"].delay()
worker.deliver_all()
first = worker.executions
again = app.tasks["lost.retried"].delay()
wait_for(lambda: worker.deliver_all() == 0 and again.state == "SUCCESS", 20, lambda: again.state)
print(
    json.dumps(
        {
            "quarantining": [quarantining.state, retrieved],
            "retried": [again.state, worker.executions - first],
            "state_writer": in_state_writer(),
            "rounds": left_by_rounds() > 2,
        }
    )
)
