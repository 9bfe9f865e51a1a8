"""The nightly aggregate, and a backfill of bonus points."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from customers.models import Customer
from django.db.models import Q, Sum
from django.utils import timezone

from celery_graceful import iterable_task
from orders.models import Statement

_CENT = Decimal("0.01")


@iterable_task(name="shop.nightly_statements", bind=True)
def nightly_statements(
    self: Any, day: str | None = None, *, cursor: Any = None
) -> Generator[Any, None, dict[str, str]]:
    """Write a statement for each customer who bought something; returns the day's total.

    ``day`` is a date such as ``2026-01-31``; left out, as beat does, it is yesterday.
    """
    # Fixed by the first execution: one that resumes after midnight must not change the day.
    day = self.carry.setdefault("day", day or str(timezone.localdate() - timedelta(days=1)))
    customers = Customer.objects.annotate(spent=Sum("orders__total", filter=Q(orders__day=day)))
    for customer in customers.filter(pk__gt=cursor or 0).order_by("pk").iterator(200):
        if customer.spent:
            spent = customer.spent.quantize(_CENT)
            Statement.objects.update_or_create(
                customer=customer, day=day, defaults={"total": spent}
            )
            self.carry["total"] = str(Decimal(self.carry.get("total", "0.00")) + spent)
        yield customer.pk
    return {"day": day, "total": self.carry.get("total", "0.00")}
