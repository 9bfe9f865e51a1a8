"""Any rows in any order: what comes after each interruption is what a plain loop has."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_graceful import sources

from .conftest import empty
from .interrupted import check_every_cut, saved

TEXTS = ["", "a", "A", "ä", "Ä", "a ", "aa", "B", "z", "ß", "ss", "_", "é", "🐍"]
EAST = timezone(timedelta(hours=9))
MOMENTS = [
    datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
    datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=timezone.utc),
    datetime(2026, 1, 31, 12, 0, 0, 999999, tzinfo=timezone.utc),
    datetime(2026, 1, 31, 20, tzinfo=EAST),
    datetime(2026, 10, 25, 1, 30, tzinfo=timezone.utc),
]
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.sampled_from(TEXTS),
    "note": st.none() | st.sampled_from(TEXTS),
    "total": st.sampled_from(
        [Decimal("0.10"), Decimal("0.2"), Decimal("-9999999999.99"), Decimal(3)]
    ),
    "discount": st.none() | st.sampled_from([Decimal("0.0001"), Decimal("0.00015"), Decimal(1)]),
    "placed_at": st.none() | st.sampled_from(MOMENTS),
    "day": st.none() | st.sampled_from([date(1, 1, 1), date(2026, 1, 31), date(9999, 12, 31)]),
    "clock": st.none() | st.sampled_from([time(0), time(12, 0, 0, 1), time(12)]),
    "ref": st.integers(0, 3).map(lambda n: UUID(int=n << 126 | n)),
    "weight": st.none() | st.sampled_from([0.1, 0.3, -0.0, 1e300, 0.1 + 0.2]),
    "paid": st.booleans(),
    "rank": st.none() | st.integers(-1, 1),
    "big": st.sampled_from([-(2**63), 2**63 - 1, 2**53, 2**53 + 1]),
    "span": st.none() | st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(9)]),
    "customer__name": st.none(),
    "customer__city": st.none(),
    "customer": st.none(),
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: values for name, values in COLUMNS.items() if "customer" not in name}
        | {"customer": st.none() | st.integers(0, 2)}
    ),
    max_size=9,
)
ORDERS = st.lists(
    st.tuples(
        st.sampled_from([n for n in COLUMNS if n != "customer"] + ["customer_id"]), st.booleans()
    ),
    max_size=3,
    unique_by=lambda term: term[0],
)


def fill(shop: str, rows: list[dict[str, Any]]) -> list[Any]:
    """Write the rows; three customers, two of the same name in the one way or the other."""
    from .models import Customer, Order

    if not Customer.objects.using(shop).exists():
        Customer.objects.using(shop).bulk_create(
            Customer(id=number, name=name, city=city)
            for number, (name, city) in enumerate([("a", None), ("A", "x"), ("b", "Y")], 1)
        )
    made = [
        Order(**{**row, "customer": None}, customer_id=None if c is None else c + 1)
        for row in rows
        for c in [row["customer"]]
    ]
    for order in made:  # MySQL gives a bulk no keys
        order.save(using=shop, force_insert=True)
    return made


def plain_loop(shop: str, order: list[tuple[str, bool]]) -> list[int]:
    """The keys of all rows, as the database sorts them, ``NULL`` as the largest."""
    from django.db.models import F

    from .models import Order

    terms = [
        F(name).desc(nulls_first=True) if down else F(name).asc(nulls_last=True)
        for name, down in order
    ]
    last = "-pk" if order and order[-1][1] else "pk"  # in the direction of the last column
    return list(Order.objects.using(shop).order_by(*terms, last).values_list("pk", flat=True))


def spelled(order: list[tuple[str, bool]]) -> list[str]:
    return [f"-{name}" if down else name for name, down in order]


#: Each example is several rows, cut after each.
FEW = settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=100)


@FEW
@given(ROWS, ORDERS, st.integers(1, 4))
def test_after_every_item(
    shop: str, rows: list[dict[str, Any]], order: list[tuple[str, bool]], batch: int
) -> None:
    check_after_every_item(shop, rows, order, batch)


def check_after_every_item(
    shop: str, rows: list[dict[str, Any]], order: list[tuple[str, bool]], batch: int
) -> None:
    from .models import Order

    empty(shop)
    fill(shop, rows)

    source = partial(
        sources.queryset, Order.objects.using(shop), order_by=spelled(order), batch=batch
    )
    check_every_cut(source, plain_loop(shop, order), lambda row: row.pk)


@FEW
@given(st.data(), ROWS, ROWS, ORDERS, st.integers(1, 4))
def test_rows_that_come_and_go_in_between(
    shop: str,
    data: st.DataObject,
    rows: list[dict[str, Any]],
    later: list[dict[str, Any]],
    order: list[tuple[str, bool]],
    batch: int,
) -> None:
    check_come_and_go(shop, data, rows, later, order, batch)


def check_come_and_go(
    shop: str,
    data: st.DataObject,
    rows: list[dict[str, Any]],
    later: list[dict[str, Any]],
    order: list[tuple[str, bool]],
    batch: int,
) -> None:
    from .models import Order

    empty(shop)
    fill(shop, rows)
    before = plain_loop(shop, order)
    if not before:
        return
    qs, order_by = Order.objects.using(shop), spelled(order)
    cut = data.draw(st.integers(0, len(before) - 1), "the last item before the interruption")
    first = sources.queryset(qs, order_by=order_by, batch=batch)
    done = [next(first) for _ in range(cut + 1)]
    assert [row.pk for row, _ in done] == before[: cut + 1]
    cursor = saved(done[-1][1])
    # New rows on both sides of the cursor, and some are deleted; at last perhaps its own.
    fill(shop, later)
    gone = data.draw(st.sets(st.sampled_from(before)), "deleted")
    qs.filter(pk__in=gone - {before[cut]}).delete()
    now = plain_loop(shop, order)
    expected = now[now.index(before[cut]) + 1 :]
    qs.filter(pk__in=gone).delete()
    rest = [
        row.pk for row, _ in sources.queryset(qs, cursor=cursor, order_by=order_by, batch=batch)
    ]
    assert rest == expected
    assert not {row.pk for row, _ in done} & set(rest)


@FEW
@given(ROWS, ROWS, ORDERS, st.integers(1, 4), st.integers(0, 8))
def test_rows_that_come_while_it_runs_are_not_behind_the_bound(
    shop: str,
    rows: list[dict[str, Any]],
    later: list[dict[str, Any]],
    order: list[tuple[str, bool]],
    batch: int,
    cut: int,
) -> None:
    from .models import Order

    empty(shop)
    fill(shop, rows)
    old = plain_loop(shop, order)
    qs, order_by = Order.objects.using(shop), spelled(order)

    def source(cursor: Any) -> Any:
        return sources.queryset(
            qs, cursor=cursor, order_by=order_by, batch=batch, upper_bound="now"
        )

    pairs = list(islice(source(None), cut + 1))
    if not old:
        assert not pairs
        return
    new = {row.pk for row in fill(shop, later)}
    seen = [row.pk for row, _ in pairs]
    seen += [row.pk for row, _ in source(saved(pairs[-1][1]))]
    assert [pk for pk in seen if pk not in new] == old
    everything = plain_loop(shop, order)
    last = everything.index(old[-1])
    assert all(everything.index(pk) < last for pk in set(seen) & new)
    assert seen == sorted(seen, key=everything.index)


@pytest.mark.matrix
@MANY
@given(ROWS, ORDERS, st.integers(1, 4))
def test_many_after_every_item(
    shop: str, rows: list[dict[str, Any]], order: list[tuple[str, bool]], batch: int
) -> None:
    check_after_every_item(shop, rows, order, batch)


@pytest.mark.matrix
@MANY
@given(st.data(), ROWS, ROWS, ORDERS, st.integers(1, 4))
def test_many_rows_that_come_and_go_in_between(
    shop: str,
    data: st.DataObject,
    rows: list[dict[str, Any]],
    later: list[dict[str, Any]],
    order: list[tuple[str, bool]],
    batch: int,
) -> None:
    check_come_and_go(shop, data, rows, later, order, batch)
