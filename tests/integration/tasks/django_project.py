"""A process with Django: when tasks are sent, and what django-celery-results keeps of a run.

``python -m tests.integration.tasks.django_project DATABASE`` prints, as JSON, what was seen.
"""

# mypy: allow-untyped-decorators
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

settings: Any = ModuleType("shop_settings")
settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}}
settings.INSTALLED_APPS = ["django_celery_results"]
settings.USE_TZ = True
sys.modules["shop_settings"] = settings
os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"

import django  # noqa: E402

django.setup()

from celery import Celery  # noqa: E402
from celery.contrib.django.task import DjangoTask  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402

from celery_graceful import Graceful, GracefulTask, IterableTask, iterable_task  # noqa: E402
from tests.harness.delivered import InProcess  # noqa: E402

app = Celery("shop", broker="memory://", backend="django-db")
app.conf.graceful_store = "memory://shop"
Graceful(app)
worker = InProcess(app)


@iterable_task(name="shop.shared")
def shared(n: int, *, cursor: int = 0) -> Iterable[int]:
    yield n


@app.task(base=IterableTask, name="shop.generator")
def generator(n: int, *, cursor: int = 0) -> Iterable[int]:
    yield n


@app.task(base=GracefulTask, name="shop.plain")
def plain(n: int) -> int:
    return n


class Written(IterableTask):
    name = "shop.class"

    def build_enumerator(self, n: int, *, cursor: int | None) -> Iterable[Any]:
        return [(n, n)]

    def each_iteration(self, item: int, n: int) -> None: ...


app.register_task(Written())


@app.task(base=IterableTask, name="shop.parent")
def parent(*, cursor: int = -1) -> Iterable[int]:
    for i in range(cursor + 1, 40):
        worker.item()
        plain.apply_async((i,), task_id=f"child-{i}", queue="children")
        if i == 3:
            worker.stop()
        yield i


NAMES = ("shop.shared", "shop.generator", "shop.plain", "shop.class")


def waiting() -> int:
    """How many messages there are."""
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        return int(channel._queue_for("celery").qsize())


def main() -> None:
    """Look at all of it."""
    call_command("migrate", verbosity=0)
    print(json.dumps({"sent": sent(), "children": children()}))


def children() -> list[int]:
    """Of a run that is interrupted once: the executions, and the children that are known."""
    result = parent.apply_async(queue="parents")
    executions = worker.deliver_all("parents")
    return [executions, len(result.children or ())]


def sent() -> dict[str, Any]:
    """Send each task within a transaction that is rolled back, and one that is committed."""
    found: dict[str, Any] = {}
    for name in NAMES:
        task: Any = app.tasks[name]
        before = waiting()
        try:
            with transaction.atomic():
                task.delay_on_commit(1)
                raise LookupError
        except LookupError:
            rolled_back = waiting() - before
        with transaction.atomic():
            task.delay_on_commit(1)
            task.apply_async_on_commit((2,))
            within = waiting() - before
        after = waiting() - before
        found[name] = [isinstance(task, DjangoTask), rolled_back, within, after]
    return found


if __name__ == "__main__":
    main()
