"""The tasks of :mod:`.shop` with Django's ORM, whose app Celery's fixup knows."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import os
import sys
import time
from types import ModuleType
from typing import Any

from tests.harness.django_aliases import settings_of

settings: Any = ModuleType("shop_settings")
URL = os.environ["SHOP_URL"]
settings.DATABASES = {"default": settings_of(URL)}
if URL.startswith("sqlite"):
    # SQLite has one writer at a time and no queue for the others: one of them may wait for long.
    settings.DATABASES["default"]["OPTIONS"] = {"timeout": 60}
settings.INSTALLED_APPS = []
settings.USE_TZ = True
sys.modules["shop_settings"] = settings
os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"

import django  # noqa: E402

django.setup()

from django.db import models, transaction  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402

from celery_graceful import Atomic, IterableTask  # noqa: E402
from tests.acceptance.apps.making import make_app  # noqa: E402

app = make_app("shop")


def write_ahead(connection: Any, **_: object) -> None:
    if connection.vendor == "sqlite":
        connection.connection.execute("PRAGMA journal_mode=WAL").close()


connection_created.connect(write_ahead)


class Effect(models.Model):
    """A row of ``shop.effects``."""

    number = models.AutoField(primary_key=True)
    run = models.CharField(max_length=64)
    kind = models.CharField(max_length=20)
    item = models.IntegerField()
    pid = models.IntegerField()

    class Meta:
        app_label = "shop"
        db_table = "effects"


class Book(IterableTask):
    """Notes each item, its begin and its end, and what was committed by a hook."""

    abstract = True

    def build_enumerator(self, items: int, pause: float, *, cursor: int | None) -> Any:
        for item in range(0 if cursor is None else cursor + 1, items):
            yield item, item

    def each_iteration(self, item: int, items: int, pause: float) -> None:
        with transaction.atomic():
            self.note("item", item)
        transaction.on_commit(lambda: self.note("hook", item))
        time.sleep(pause)
        self.carry["sum"] = self.carry.get("sum", 0) + item

    def on_start(self, items: int, pause: float) -> None:
        self.note("start", 0)

    def on_complete(self, items: int, pause: float) -> None:
        self.note("complete", 0)

    def result(self, items: int, pause: float) -> dict[str, Any]:
        return {"id": self.request.id, "sum": self.carry.get("sum", 0)}

    def note(self, kind: str, item: int) -> None:
        Effect.objects.create(run=self.request.id, kind=kind, item=item, pid=os.getpid())


class ByNumber(Book):
    name = "shop.by_number"
    atomic = Atomic.django(every=7)


class ByTime(Book):
    name = "shop.by_time"
    atomic = Atomic.django(every="50ms")


app.register_task(ByNumber())
app.register_task(ByTime())
