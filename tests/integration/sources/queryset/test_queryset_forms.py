"""What a queryset yields is what the source yields, whatever is selected."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext, override_settings

from celery_graceful import sources
from celery_graceful.errors import CursorError

from .interrupted import check_every_cut, saved

DAY = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def orders(shop: str) -> Any:
    """The orders of a shop with seven of them, two customers and two tags."""
    from .models import Customer, Order, Tag

    anna = Customer.objects.using(shop).create(name="Änna")
    bert = Customer.objects.using(shop).create(name="bert", city="Ulm")
    tags = [Tag.objects.using(shop).create(name=name) for name in "xy"]
    for number in range(7):
        order = Order(
            customer=[anna, bert, None][number % 3],
            text="aAbB"[number % 4],
            rank=number % 2 or None,
            placed_at=DAY + timedelta(microseconds=number % 3),
        )
        order.save(using=shop)
        order.tags.set(tags[: number % 3])
    return Order.objects.using(shop)


def name_of(item: Any) -> Any:
    """What distinguishes an item from others, whatever it is."""
    return (type(item).__name__, repr(item.pk if hasattr(item, "pk") else item))


def _lower(qs: Any) -> Any:
    from django.db.models.functions import Lower

    return qs.annotate(lower=Lower("text")).order_by("-lower")


def _counted(qs: Any) -> Any:
    from django.db.models import Count

    return qs.annotate(tagged=Count("tags")).order_by("-tagged", "id")


def _counted_values(qs: Any) -> Any:
    from django.db.models import Count

    return qs.annotate(tagged=Count("tags")).values("id", "tagged")


def _alias(qs: Any) -> Any:
    from django.db.models.functions import Lower

    return qs.alias(lower=Lower("text")).order_by("lower", "-id")


FORMS: dict[str, Callable[[Any], Any]] = {
    "manager": lambda qs: qs.all(),
    "only": lambda qs: qs.only("text").order_by("rank", "placed_at"),
    "only the order": lambda qs: qs.only("rank").order_by("-rank"),
    "defer": lambda qs: qs.defer("rank").order_by("-rank"),
    "values": lambda qs: qs.values().order_by("placed_at"),
    "values without the key": lambda qs: qs.values("text").order_by("-text", "id"),
    "values with it": lambda qs: qs.values("rank", "id", "customer__name").order_by(
        "customer__name"
    ),
    "values of a relation": lambda qs: qs.values("customer").order_by("customer_id"),
    "values_list": lambda qs: qs.values_list().order_by("-placed_at"),
    "values_list without the key": lambda qs: qs.values_list("text", "rank").order_by("placed_at"),
    "values_list with it": lambda qs: qs.values_list("rank", "pk", "id").order_by("rank"),
    "flat": lambda qs: qs.values_list("text", flat=True).order_by("-customer__name"),
    "flat key": lambda qs: qs.values_list("pk", flat=True).order_by("id"),
    "named": lambda qs: qs.values_list("id", "text", named=True).order_by("id"),
    "named without the key": lambda qs: qs.values_list("text", named=True).order_by("rank"),
    "annotation": _lower,
    "values of an annotation": lambda qs: _lower(qs).values("lower"),
    "list of an annotation": lambda qs: _lower(qs).values_list("text", "lower"),
    "aggregate": _counted,
    "values of an aggregate": _counted_values,
    "alias": _alias,
    "values with an alias": lambda qs: _alias(qs).values("id"),
    "select_related": lambda qs: qs.select_related("customer").order_by("customer__city"),
    "prefetch_related": lambda qs: qs.prefetch_related("tags", "parts"),
    "distinct": lambda qs: qs.filter(tags__name__in=["x", "y"]).distinct().order_by("-rank"),
    "reverse": lambda qs: qs.order_by("rank", "-id").reverse(),
    "relation": lambda qs: qs.order_by("parent_id", "customer_id"),
    "several filters": lambda qs: qs.filter(customer__name="bert").exclude(tags__name="y"),
    "extra": lambda qs: qs.extra(where=["text <> 'B'"], select={"one": "1"}),
    "none": lambda qs: qs.none(),
}


@pytest.mark.parametrize("form", FORMS)
def test_items_are_those_of_the_queryset(orders: Any, form: str) -> None:
    qs = FORMS[form](orders)

    def source(cursor: Any) -> Any:
        return sources.queryset(qs, cursor=cursor, batch=3)

    expected = [item for item, _ in sources.queryset(qs)]
    plain = list(qs)
    assert sorted(map(name_of, expected)) == sorted(map(name_of, plain))
    assert all(vars(item) == vars(mine) for item, mine in _beside(plain, expected))
    if form != "none":
        assert expected, "there is something to compare"
    pairs = list(source(None))
    assert [repr(item) for item, _ in pairs] == [repr(item) for item in expected]
    for done, (_, cursor) in enumerate(pairs, 1):
        rest = [repr(item) for item, _ in source(saved(cursor))]
        assert rest == list(map(repr, expected[done:]))


def _beside(plain: list[Any], mine: list[Any]) -> list[tuple[Any, Any]]:
    """Instances and those of the source, without what Django keeps about them."""
    if not plain or not hasattr(plain[0], "_state"):
        return []
    by_key = {item.pk: item for item in mine}
    for item in (*plain, *mine):
        item.__dict__.pop("_state")
        item.__dict__.pop("_prefetched_objects_cache", None)
    return [(item, by_key[item.pk]) for item in plain]


def test_no_deferred_column_is_loaded_row_by_row(orders: Any) -> None:
    with CaptureQueriesContext(connections[orders.db]) as queries:
        items = list(sources.queryset(orders.only("text"), order_by=["-paid", "big"]))
    assert len(queries) == 1, [query["sql"] for query in queries]
    assert items[0][0].get_deferred_fields() >= {"paid", "big"}


def test_related_objects_are_read_page_by_page(orders: Any) -> None:
    qs = orders.select_related("customer").prefetch_related("tags")
    with CaptureQueriesContext(connections[orders.db]) as queries:
        found = [
            (order.customer and order.customer.name, [tag.name for tag in order.tags.all()])
            for order, _ in sources.queryset(qs, batch=4)
        ]
    assert len(queries) == 4  # two pages, and the tags of each
    assert found == [
        (order.customer and order.customer.name, [tag.name for tag in order.tags.all()])
        for order in orders.order_by("pk")
    ]


def test_each_page_is_one_plain_query(orders: Any) -> None:
    """No server-side cursor and no open transaction: each may run on another connection."""
    connection, seen = connections[orders.db], []
    with CaptureQueriesContext(connection) as queries:
        for row, _ in sources.queryset(orders, batch=2):
            seen.append(row.pk)
            assert not connection.in_atomic_block
    assert len(queries) == 4
    assert all(query["sql"].startswith("SELECT") for query in queries)
    # As behind PgBouncer with a pool of transactions, where the next page gets another server.
    again = []
    for row, _ in sources.queryset(orders, batch=2):
        again.append(row.pk)
        connection.close()
    assert again == seen


def test_batches(orders: Any) -> None:
    pks = list(orders.order_by("pk").values_list("pk", flat=True))
    found = [
        ([row.pk for row in rows], cursor)
        for rows, cursor in sources.queryset(orders, batch=3, batches=True)
    ]
    assert found == [(pks[:3], pks[2]), (pks[3:6], pks[5]), (pks[6:], pks[6])]
    rest = sources.queryset(orders, batch=3, batches=True, cursor=pks[3])
    assert [[row.pk for row in rows] for rows, _ in rest] == [pks[4:]]


def test_a_replica_is_read_by_its_alias(orders: Any, shop: str, sqlite_shop: str) -> None:
    from .models import Order

    assert [row.pk for row, _ in sources.queryset(Order.objects, using=shop)] == [
        row.pk for row in orders.order_by("pk")
    ]
    assert all(row._state.db == shop for row, _ in sources.queryset(Order.objects, using=shop))


def test_a_child_table_whose_key_is_a_relation(shop: str) -> None:
    from .models import Urgent

    for level in (2, 1, 2):
        Urgent(level=level, text=str(level)).save(using=shop)
    qs = Urgent.objects.using(shop)
    for order_by in (["-level"], ["-level", "-id"], ["-level", "order_ptr_id"], ["level", "pk"]):
        plain = [*order_by, "-pk" if order_by[-1].startswith("-") else "pk"]
        keys = list(qs.order_by(*plain).values_list("pk", flat=True))
        check_every_cut(
            partial(sources.queryset, qs, order_by=order_by, batch=1),
            keys,
            lambda row: row.pk,
        )


def test_keys_that_are_uuids(shop: str) -> None:
    from .models import Customer, Ticket

    for number in range(4):
        customer = Customer(name=str(number))
        customer.save(using=shop)
        Ticket(customer=customer if number else None).save(using=shop)
    tickets, customers = Ticket.objects.using(shop), Customer.objects.using(shop)
    for qs in (tickets, tickets.order_by("-customer__name"), customers.order_by("ticket")):
        expected = [row.pk for row, _ in sources.queryset(qs)]
        assert sorted(map(str, expected)) == sorted(str(row.pk) for row in qs)
        check_every_cut(
            partial(sources.queryset, qs, batch=2),
            expected,
            lambda row: row.pk,
        )


def test_primary_keys_of_several_columns(shop: str) -> None:
    models = pytest.importorskip("tests.integration.sources.queryset.models")
    if not hasattr(models, "Seat"):
        pytest.skip("needs CompositePrimaryKey, of Django 5.2")
    for hall, number in (("b", 1), ("a", 2), ("A", 1), ("a", 10), ("ä", 1)):
        models.Seat(hall=f"{hall}{ord(hall)}", number=number).save(using=shop, force_insert=True)
    seats = models.Seat.objects.using(shop)
    orders: tuple[Any, ...] = (None, "pk", "-pk", ["-number"], ["-hall", "number"], "taken")
    for order_by in orders:
        plain = seats.order_by(*([order_by] if isinstance(order_by, str) else order_by or ["pk"]))
        if order_by in (None, "pk", "-pk"):
            assert [s.pk for s, _ in sources.queryset(seats, order_by=order_by)] == [
                s.pk for s in plain
            ]
        for qs in (seats, seats.values_list("taken", "number")):
            check_every_cut(
                partial(sources.queryset, qs, order_by=order_by, batch=2),
                [repr(s) for s, _ in sources.queryset(qs, order_by=order_by)],
                repr,
            )


def test_without_time_zones(shop: str) -> None:
    from .models import Order

    with override_settings(USE_TZ=False):
        for microsecond in (0, 1, 1, 999_999):
            Order(placed_at=datetime(2026, 1, 31, 12, 0, 0, microsecond)).save(using=shop)
        qs = Order.objects.using(shop).order_by("-placed_at")
        keys = list(qs.order_by("-placed_at", "-pk").values_list("pk", flat=True))
        check_every_cut(partial(sources.queryset, qs, batch=2), keys, lambda row: row.pk)
        cursor = next(sources.queryset(qs))[1]
    with pytest.raises(CursorError, match="USE_TZ is True now: the setting was changed"):
        sources.queryset(qs, cursor=cursor)
