"""A table through Django's ORM; Django is configured when this is imported."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from tests.harness.django_aliases import configure

configure()

from django.db import models  # noqa: E402


class Done(models.Model):
    """A row for each item."""

    id = models.AutoField(primary_key=True)
    n = models.IntegerField()

    class Meta:
        app_label = "benchmarks"
        db_table = "done"
