"""Django with everything in one SQLite file, named by an argument.

Runs a task whose last batch is open while a PROGRESS is on its way into the same file; prints, as
JSON, the seconds that took, the outcome that django-celery-results keeps, and the rows.
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
import time

import django
from django.conf import settings

NEW = django.VERSION >= (5, 1)
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": sys.argv[1],
            # Django 4.2 has no transaction_mode.
            "OPTIONS": {"timeout": 2} | ({"transaction_mode": "IMMEDIATE"} if NEW else {}),
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django_celery_results"],
    USE_TZ=True,
)
django.setup()

from celery import Celery  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402

from celery_graceful import Atomic, Graceful, IterableTask, sources  # noqa: E402
from tests.harness.delivered import InProcess  # noqa: E402

app = Celery("shop", broker="memory://", backend="django-db")
app.conf.update(graceful_store="memory://", graceful_checkpoint_interval=0.05)
Graceful(app)


class Row(models.Model):
    number = models.IntegerField()

    class Meta:
        app_label = "shop"


class Work(IterableTask):
    name = "shop.work"
    atomic = Atomic.django(every=1000)

    def build_enumerator(self, fails, *, cursor):
        return sources.numbers(0, 12, cursor=cursor)

    def each_iteration(self, number, fails):
        Row.objects.create(number=number)
        time.sleep(0.02)
        if number == 11 and fails:
            raise LookupError("the last item")

    def count(self, fails):
        return 12


def main():
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    app.register_task(Work())
    worker = InProcess(app)
    seen = []
    for fails in (False, True):
        result = app.tasks["shop.work"].delay(fails)
        began = time.monotonic()
        worker.deliver()
        seconds = time.monotonic() - began
        seen.append([seconds, app.AsyncResult(result.id).state])
    print(json.dumps([*seen, Row.objects.count()]))


if __name__ == "__main__":
    main()
