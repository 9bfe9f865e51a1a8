"""What ``sources.queryset`` is measured with: the table of :mod:`.keyset` by Django's ORM."""

# mypy: disable-error-code="misc, no-untyped-call"
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.keyset import CHUNK, Pass
from celery_graceful import sources
from tests.harness.django_aliases import configure

configure()

from django.db import models  # noqa: E402


class Sale(models.Model):
    shop = models.IntegerField()
    buyer = models.TextField()
    cents = models.IntegerField()
    note = models.TextField(null=True)

    class Meta:
        app_label = "benchmarks"
        db_table = "sales"
        managed = False


def passes(alias: str) -> list[Pass]:
    """The passes over a database of Django's, each against ``iterator()`` with the same chunks."""
    sales = Sale.objects.using(alias)

    def against_iterator(what: str, plain: Any, *, by_shop: bool = False) -> Pass:
        def ours(**options: Any) -> Iterator[Any]:
            return iter(sources.queryset(plain, batch=CHUNK, **options))

        return Pass(what, ours, lambda: plain.iterator(chunk_size=CHUNK), by_shop=by_shop)

    return [
        against_iterator("queryset, objects", sales.order_by("id")),
        against_iterator("queryset, objects by shop", sales.order_by("shop", "id"), by_shop=True),
    ]
