"""Querysets, orders, bounds and cursors that cannot be honoured: each says what to write."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db.models import Count, F
from django.db.models.functions import Lower

from celery_graceful import sources
from celery_graceful.errors import CursorError, SourceError

from .models import Order, Ticket
from .test_queryset_forms import orders  # noqa: F401

QUERYSETS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a slice": (lambda qs: qs[:10], "is sliced.* leave the slice out"),
    "a slice with an order": (lambda qs: qs.order_by("id")[5:], "leave the slice out"),
    "distinct of columns": (lambda qs: qs.distinct("text"), r"distinct\('text'\).* pk__in="),
    "distinct values": (lambda qs: qs.values("text").distinct(), "values.* sources.sequence"),
    "a union": (lambda qs: qs.union(qs), r"union\(\).* Q\(\.\.\.\) \| Q.* sources.chained"),
    "an intersection": (lambda qs: qs.intersection(qs), r"intersection\(\).* sources.chained"),
    "groups": (lambda qs: qs.values("text").annotate(n=Count("id")), "annotate the model"),
    "random order": (lambda qs: qs.order_by("?"), "random order.* leave it out"),
    "an expression": (lambda qs: qs.order_by(Lower("text")), "annotate it and name the annotation"),
    "a descending one": (lambda qs: qs.order_by(Lower("text").desc()), "annotate it"),
    "Meta.ordering reversed": (lambda qs: qs.reverse(), "Meta.ordering is not used.* order_by="),
    "a relation that is ordered": (lambda qs: qs.order_by("customer"), "'customer_id'"),
    "several of one": (
        lambda qs: qs.order_by("tags__name"),
        r"several of 'tags'.* Min\('tags__name'",
    ),
    "the other side": (lambda qs: qs.order_by("parts"), "several of 'parts'"),
    "joined rows": (
        lambda qs: qs.filter(tags__name__in="xy"),
        "shop_order_tags.* distinct.* Exists",
    ),
    "joined annotation": (lambda qs: qs.annotate(tag=F("tags__name")), "comes several times"),
    "nulls elsewhere": (lambda qs: qs.order_by(F("rank").asc(nulls_first=True)), "nulls_first out"),
    "nulls last": (lambda qs: qs.order_by(F("rank").desc(nulls_last=True)), "Coalesce"),
    "extra order": (lambda qs: qs.extra(order_by=["text"]), "extra.* order_by="),
    "json": (lambda qs: qs.order_by("data__key"), "'data' is no relation"),
    "a transform": (lambda qs: qs.order_by("placed_at__date"), "annotate the expression"),
    "auto_now": (lambda qs: qs.order_by("updated_at"), "auto_now.* upper_bound='now'"),
    "raw": (lambda qs: Order.objects.raw("SELECT 1"), "RawQuerySet.* sources.select"),
    "a list": (lambda qs: [1, 2], "not list; .* sources.sequence"),
    "a class": (lambda qs: Order, "such as Customer.objects"),
}


@pytest.mark.parametrize("case", QUERYSETS)
def test_a_queryset_that_cannot_be_resumed(sqlite_shop: str, case: str) -> None:
    make, message = QUERYSETS[case]
    with pytest.raises(SourceError, match=f"^sources.queryset.*{message}"):
        sources.queryset(make(Order.objects.using(sqlite_shop)))


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"order_by": "colour"}, "'colour', and Order has no column.*there are big, clock, customer"),
    ({"order_by": "customer__colour"}, "Customer has no column or annotation 'colour'"),
    ({"order_by": ["text", "-text"]}, "names the column 'text' twice"),
    ({"order_by": ["customer_id", F("customer_id").desc()]}, "twice"),
    ({"order_by": 3}, "order_by has 3"),
    ({"order_by": ""}, "order_by has ''"),
    ({"batch": 0}, "batch must be a whole number of 1 or more"),
    ({"count": "guess"}, "count='guess' is unknown; write 'exact'"),
    ({"upper_bound": "x"}, "upper_bound has 'x' for id, whose values are of type int"),
    ({"upper_bound": (1, 2)}, "has 2 values for the order 'id'"),
    ({"order_by": "placed_at", "upper_bound": datetime(2026, 1, 31)}, "make_aware"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_an_option_that_makes_no_sense(
    sqlite_shop: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        sources.queryset(Order.objects.using(sqlite_shop), **options)


@pytest.mark.parametrize(
    ("cursor", "message"),
    [
        ("x", "comes from other rows"),
        (True, "no cursor of rows"),
        ([1], "no cursor of rows"),
        (["id"], "no cursor of rows"),
        (["-id", 5], "comes from the order '-id'"),
        (["id", {"uuid": "x"}], "which no source has written"),
        ({"a": 1}, "no cursor of rows"),
        (["id", None], "which is no value of that column"),
    ],
)
def test_a_cursor_of_something_else(sqlite_shop: str, cursor: Any, message: str) -> None:
    with pytest.raises(CursorError, match=message):
        sources.queryset(Order.objects.using(sqlite_shop), cursor=cursor)


def test_a_cursor_of_another_table(sqlite_shop: str) -> None:
    with pytest.raises(CursorError, match="comes from other rows"):
        sources.queryset(Ticket.objects.using(sqlite_shop), cursor=5)


def test_rows_that_are_joined_again(orders: Any) -> None:  # noqa: F811
    """distinct() makes one row of several unless something of the joined table is selected."""
    qs = orders.annotate(tag=F("tags__name")).distinct()
    with pytest.raises(SourceError, match=r"returns a row several times.*Exists"):
        list(sources.queryset(qs))


def test_values_that_no_cursor_holds(orders: Any) -> None:  # noqa: F811
    orders.update(data={"key": 1})
    with pytest.raises(SourceError, match=r"data is .* a cursor cannot hold.*Order by another"):
        list(sources.queryset(orders, order_by="data"))


def test_decimals_that_sqlite_does_not_keep(sqlite_shop: str) -> None:
    field = Order._meta.get_field("total")
    digits, field.max_digits = field.max_digits, 20
    try:
        with pytest.raises(SourceError, match="max_digits = 20, and SQLite keeps the first 15"):
            sources.queryset(Order.objects.using(sqlite_shop), order_by="total")
    finally:
        field.max_digits = digits


def test_the_primary_key_where_no_order_is_given(orders: Any) -> None:  # noqa: F811
    """Not Meta.ordering, which would sort the whole table for each page."""
    found = [row.pk for row, _ in sources.queryset(orders)]
    assert found == sorted(found)
    assert orders.query.get_meta().ordering == ("-placed_at",)


def test_a_task_that_changes_its_own_key(orders: Any) -> None:  # noqa: F811
    def loop() -> None:
        for order, _ in sources.queryset(orders, order_by="big", batch=2):
            order.big += 100
            order.save()

    with pytest.raises(SourceError, match=r"rows that were done come again.*upper_bound"):
        loop()
    seen = []
    for order, _ in sources.queryset(orders, order_by="updated_at", batch=2, upper_bound="now"):
        order.save()
        seen.append(order.pk)
    assert sorted(seen) == sorted(orders.values_list("pk", flat=True))


def test_rows_that_were_committed_late(orders: Any) -> None:  # noqa: F811
    """Their time is before the cursor's: an upper bound in the past waits for them."""
    now = datetime.now(timezone.utc)
    orders.update(placed_at=now - timedelta(minutes=9))
    early = Order.objects.using(orders.db).create(placed_at=now - timedelta(seconds=2))
    bound = now - timedelta(minutes=5)
    source = sources.queryset(orders, order_by="placed_at", upper_bound=bound)
    pairs = list(source)
    assert early.pk not in {row.pk for row, _ in pairs}
    assert len(pairs) == 7
    # Resumed later, it ends where it was to end.
    again = sources.queryset(
        orders, order_by="placed_at", cursor=pairs[3][1], upper_bound=now + timedelta(days=1)
    )
    assert [row.pk for row, _ in again] == [row.pk for row, _ in pairs[4:]]
