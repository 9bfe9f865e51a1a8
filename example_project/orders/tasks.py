"""The nightly aggregate, and a backfill of bonus points."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from customers.models import Customer
from django.db.models import F, Q, Sum
from django.utils import timezone

from celery_graceful import Atomic, IterableTask, iterable_task, sources
from orders.models import Order, Statement

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
    for customer, place in sources.queryset(customers, cursor=cursor):
        if customer.spent:
            spent = customer.spent.quantize(_CENT)
            Statement.objects.update_or_create(
                customer=customer, day=day, defaults={"total": spent}
            )
            self.carry["total"] = str(Decimal(self.carry.get("total", "0.00")) + spent)
        yield place
    return {"day": day, "total": self.carry.get("total", "0.00")}


class AwardPoints(IterableTask):
    """Give each customer a bonus point for every whole euro of an order: once, for all orders.

    To add points twice would be wrong, and nothing in the row says that it has been done. So the
    points and the checkpoint are committed together, a hundred orders at a time.
    """

    name = "shop.award_points"
    atomic = Atomic.django(every=100)

    def build_enumerator(self, *, cursor: Any) -> Iterable[Any]:
        return sources.queryset(Order.objects.all(), cursor=cursor)

    def each_iteration(self, order: Order) -> None:
        points = int(order.total)
        Customer.objects.filter(pk=order.customer_id).update(points=F("points") + points)
        self.carry["points"] = self.carry.get("points", 0) + points

    def count(self) -> int:
        return Order.objects.count()

    def result(self) -> int:
        return self.carry.get("points", 0)


award_points = iterable_task(AwardPoints)
