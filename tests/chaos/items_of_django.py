"""Rows of atomic items through Django's ORM; Django is configured when this is imported."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import os
from typing import Any

from django.conf import settings

from celery_graceful import Atomic
from tests.harness.django_aliases import settings_of

settings.configure(
    DATABASES={"default": settings_of(os.environ["CHAOS_DATABASE"])}, INSTALLED_APPS=[], USE_TZ=True
)

import django  # noqa: E402

django.setup()

from django.db import InterfaceError, OperationalError, models, transaction  # noqa: E402

ATOMIC = Atomic.django(every=20)
#: A connection that was cut.
ERRORS: tuple[type[Exception], ...] = (OperationalError, InterfaceError)


class Effect(models.Model):
    """A row of the ledger."""

    id = models.UUIDField(primary_key=True)
    run = models.TextField()
    item = models.IntegerField()
    kind = models.TextField()
    fence = models.BigIntegerField()
    pid = models.IntegerField()
    worker = models.IntegerField()
    at = models.FloatField()

    class Meta:
        app_label = "chaos"
        db_table = "effects"
        managed = False


def write(task: Any, row: dict[str, Any]) -> None:
    """Add a row within the task's transaction, every other one within a savepoint."""
    if row["item"] % 2:
        with transaction.atomic():
            Effect.objects.create(**row)
    else:
        Effect.objects.create(**row)
