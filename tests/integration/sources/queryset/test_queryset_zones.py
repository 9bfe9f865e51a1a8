"""Moments as keys, whatever the time zones of the project, the connection and the server."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from celery_graceful import sources
from celery_graceful.errors import CursorError

from .interrupted import check_every_cut, saved

_numbers = itertools.count(1)
#: From before to after the hour that New York has twice, and around one that it leaves out.
AUTUMN = datetime(2026, 11, 1, 4, 30, 0, 1, timezone.utc)
SPRING = datetime(2026, 3, 8, 6, 30, 0, 999999, timezone.utc)
MOMENTS = [at + timedelta(minutes=30 * n) for at in (AUTUMN, SPRING) for n in range(5)]
NEW_YORK = "America/New_York"
#: An hour that is left out there.
LEFT_OUT = datetime(2026, 3, 8, 2, 30)
#: What each kind of database is told about its own zone, which is neither UTC nor the project's.
SERVERS: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {"OPTIONS": {"options": "-c timezone=Asia/Kolkata"}},
    "mysql": {"OPTIONS": {"charset": "utf8mb4", "init_command": "SET time_zone = '+05:30'"}},
}


@contextmanager
def zoned(shop: str, **settings: Any) -> Iterator[str]:
    """Another alias of the same database."""
    from django.db import connections

    alias = f"zoned_{next(_numbers)}"
    connections.settings[alias] = {
        **connections.settings[shop],
        **SERVERS[connections[shop].vendor],
        **settings,
    }
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


@pytest.mark.parametrize(
    ("use_tz", "zone", "database", "order"),
    [
        (True, NEW_YORK, None, "placed_at"),
        (True, "UTC", NEW_YORK, "-placed_at"),
        (False, NEW_YORK, None, "placed_at"),
    ],
)
def test_every_cut(shop: str, use_tz: bool, zone: str, database: str | None, order: str) -> None:
    from .models import Order

    moments = MOMENTS
    if database:  # whose rows have the local time, which says nothing in the hour that comes twice
        moments = [moment for moment in MOMENTS if moment.month == 3]
    if not use_tz:
        local = (moment.astimezone(ZoneInfo(NEW_YORK)) for moment in MOMENTS)
        moments = [*(moment.replace(tzinfo=None) for moment in local), LEFT_OUT]
    with override_settings(USE_TZ=use_tz, TIME_ZONE=zone), zoned(shop, TIME_ZONE=database) as alias:
        rows = Order.objects.using(alias)
        rows.bulk_create(Order(placed_at=at) for at in [None, *moments, *moments[::3]])
        plain = sorted(rows.values_list("placed_at", "pk"), key=_in_order)
        expected = [pk for _, pk in (plain if order == "placed_at" else reversed(plain))]
        source = partial(sources.queryset, rows.all(), order_by=order, batch=3)
        check_every_cut(source, expected, lambda row: row.pk)


def _in_order(row: tuple[datetime | None, int]) -> Any:
    at, key = row
    return (at is None, at and at.replace(tzinfo=None), key)


def test_an_upper_bound_is_a_moment_whatever_the_zone(shop: str) -> None:
    from .models import Order

    with override_settings(TIME_ZONE=NEW_YORK), zoned(shop) as alias:
        rows = Order.objects.using(alias)
        rows.bulk_create(Order(placed_at=at) for at in MOMENTS)
        until = MOMENTS[2].astimezone(timezone(timedelta(hours=9)))
        found = sources.queryset(rows, order_by="placed_at", upper_bound=until)
        assert [row.placed_at for row, _ in found] == [*MOMENTS[5:], *MOMENTS[:3]]


def test_the_zone_of_the_project_may_change_between_two_executions(shop: str) -> None:
    from .models import Order

    with zoned(shop) as alias:
        rows = Order.objects.using(alias)
        rows.bulk_create(Order(placed_at=at) for at in MOMENTS)
    expected = sorted(MOMENTS)
    with override_settings(TIME_ZONE=NEW_YORK), zoned(shop) as alias:
        begun = iter(sources.queryset(Order.objects.using(alias), order_by="placed_at", batch=2))
        done, cursor = [next(begun) for _ in range(3)][-1]
        assert done.placed_at == expected[2]
    with override_settings(TIME_ZONE="Asia/Tokyo"), zoned(shop) as alias:
        rest = sources.queryset(
            Order.objects.using(alias), order_by="placed_at", batch=2, cursor=saved(cursor)
        )
        assert [row.placed_at for row, _ in rest] == expected[3:]
    with (
        override_settings(USE_TZ=False),
        zoned(shop) as alias,
        pytest.raises(CursorError, match="USE_TZ is False now"),
    ):
        sources.queryset(Order.objects.using(alias), order_by="placed_at", cursor=saved(cursor))
