"""How rows are counted, bounded, and read again after trouble."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.models import Min, Q

from celery_graceful import sources

from .conftest import empty
from .models import Customer, Order
from .test_queryset_forms import orders  # noqa: F401


def test_how_many_rows_there_are(orders: Any, caplog: Any) -> None:  # noqa: F811
    assert sources.queryset(orders).count() is None
    assert sources.queryset(orders, count="exact").count() == 7
    assert sources.queryset(orders, count="exact", cursor=10**6).count() == 7
    some = orders.filter(Q(text="a") | Q(text="B"))
    assert sources.queryset(some, count="exact").count() == some.count()
    third = orders.order_by("pk")[2].pk
    assert sources.queryset(orders, upper_bound=third, count="exact").count() == 3
    with caplog.at_level(logging.WARNING):
        estimate = sources.queryset(orders.select_related("customer"), count="estimate").count()
        of_some = sources.queryset(some.order_by("text"), count="estimate").count()
    if connections[orders.db].vendor == "sqlite":
        assert estimate is of_some is None
        assert 'write count="exact" for a full count' in caplog.text
    else:
        assert estimate is not None
        assert of_some is not None
        assert 0 <= of_some <= estimate


def test_an_estimate_is_about_right(postgres_shop: str, mariadb_shop: str) -> None:
    for shop in (postgres_shop, mariadb_shop):
        empty(shop)
    for shop, analyze in ((postgres_shop, "ANALYZE"), (mariadb_shop, "ANALYZE TABLE shop_order")):
        Order.objects.using(shop).bulk_create(Order(rank=n % 4) for n in range(1000))
        with connections[shop].cursor() as cursor:
            cursor.execute(analyze)
        qs = Order.objects.using(shop)
        estimate = sources.queryset(qs, count="estimate").count()
        assert estimate is not None
        assert 700 <= estimate <= 1300
        assert sources.queryset(qs.filter(pk=None), count="estimate").count() in (0, 1)
        assert sources.queryset(qs.none(), count="estimate").count() == 0
        assert sources.queryset(qs.filter(pk__in=[]), count="estimate").count() == 0
        joined = sources.queryset(qs.filter(customer__name="x"), count="estimate").count()
        assert joined is not None
        assert joined <= 1300


def test_sqlite_keeps_decimals_as_they_were_computed(sqlite_shop: str) -> None:
    """Django rounds them when it reads them, up and down."""
    empty(sqlite_shop)
    qs = Order.objects.using(sqlite_shop)
    for amount in (0.00014, 0.00015, 0.00019, 0.0002):
        order = Order.objects.using(sqlite_shop).create()
        with connections[sqlite_shop].cursor() as cursor:
            cursor.execute("UPDATE shop_order SET discount = %s WHERE id = %s", [amount, order.pk])
    keys = list(qs.order_by("discount", "pk").values_list("pk", flat=True))
    qs = qs.filter(pk__in=keys)
    assert [row.pk for row, _ in sources.queryset(qs, order_by="discount", batch=1)] == keys
    least = qs.annotate(least=Min("discount"))
    assert [row.pk for row, _ in sources.queryset(least, order_by="least", batch=1)] == keys
    some = sources.queryset(qs, order_by="discount", upper_bound=Decimal("0.00016"))
    assert sum(row.discount is not None for row, _ in some) == 2


def test_a_connection_that_was_lost_between_two_pages(postgres_shop: str, caplog: Any) -> None:
    empty(postgres_shop)
    qs = Customer.objects.using(postgres_shop)
    Customer.objects.using(postgres_shop).bulk_create(Customer(name=str(n)) for n in range(6))
    seen: list[str] = []
    for customer, _ in sources.queryset(qs, batch=2):
        if len(seen) == 1:
            lose(postgres_shop)
        seen.append(customer.name)
    assert seen == [str(n) for n in range(6)]
    assert "was lost; connecting again" in caplog.text


def test_a_connection_that_was_lost_within_a_transaction(postgres_shop: str) -> None:
    """What came before in it is gone, so nothing is asked again."""
    empty(postgres_shop)
    qs = Customer.objects.using(postgres_shop)
    qs.bulk_create(Customer(name=str(n)) for n in range(6))

    def loop() -> None:
        with transaction.atomic(using=postgres_shop):
            for _ in sources.queryset(qs, batch=2):
                lose(postgres_shop)

    with pytest.raises(DatabaseError):
        loop()
    connections[postgres_shop].close()


def lose(shop: str) -> None:
    """Cut this thread's connection off at the server."""
    connection = connections[shop]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()
