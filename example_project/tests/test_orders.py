"""The nightly statements and the bonus points, interrupted and crashed after each item."""

from __future__ import annotations

from typing import Any

import pytest
from customers.models import Customer
from django.core.management import call_command
from orders.models import Order, Statement
from orders.tasks import award_points, nightly_statements

from celery_graceful.testing import assert_resumable

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def seven_customers() -> None:
    call_command("sample", customers=7, verbosity=0)


def statements() -> list[Any]:
    return list(Statement.objects.order_by("customer").values_list("customer", "day", "total"))


def test_statements_may_be_interrupted_anywhere() -> None:
    assert_resumable(
        nightly_statements,
        outcome=statements,
        reset=lambda: Statement.objects.all().delete(),
    )


def test_the_total_is_that_of_the_orders() -> None:
    day = str(Order.objects.first().day)
    assert nightly_statements() == {"day": day, "total": "24.78"}
    assert nightly_statements("2000-01-01") == {"day": "2000-01-01", "total": "0.00"}
    assert Statement.objects.count() == 7


def test_points_are_awarded_exactly_once() -> None:
    assert_resumable(
        award_points,
        outcome=lambda: list(Customer.objects.order_by("pk").values_list("pk", "points")),
        reset=lambda: Customer.objects.update(points=0),
    )


def test_every_order_counts() -> None:
    assert award_points() == sum(int(order.total) for order in Order.objects.all())
    assert set(Customer.objects.values_list("points", flat=True)) == {3}
