"""The table of effects through Django's ORM; Django is configured when this is imported."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import os
import sys
from importlib import import_module

from tests.harness.django_aliases import configure

if os.environ.get("GRACEFUL_PSYCOPG2"):  # it takes psycopg where both are installed
    hidden = sys.modules.pop("psycopg", None)
    sys.modules["psycopg"] = None  # type: ignore[assignment]
    import_module("django.db.backends.postgresql.base")
    del sys.modules["psycopg"]
    if hidden is not None:
        sys.modules["psycopg"] = hidden

configure()

from django.db import models  # noqa: E402


class Effect(models.Model):
    """One row for each effect, as :data:`.tasks.effects` has it."""

    number = models.AutoField(primary_key=True)
    kind = models.CharField(max_length=20)
    item = models.IntegerField(null=True)

    class Meta:
        app_label = "atomic_tests"
        db_table = "effects"
