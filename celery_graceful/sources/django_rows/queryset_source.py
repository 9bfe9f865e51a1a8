"""The rows of a queryset, page by page behind a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from celery_graceful.errors import CursorError, SourceError
from celery_graceful.sources.django_rows import columns as columns_of
from celery_graceful.sources.django_rows import refusals
from celery_graceful.sources.django_rows.columns import Column
from celery_graceful.sources.django_rows.queryset_counts import Count, check_count, counted_rows
from celery_graceful.sources.django_rows.row_forms import form_of
from celery_graceful.sources.keyset.key_cursors import Cursors, Place
from celery_graceful.sources.keyset.order import Order
from celery_graceful.sources.keyset.predicate import Segment, up_to
from celery_graceful.sources.keyset.row_pages import NOW, Keys, check_batch, rows
from celery_graceful.sources.keyset.row_source import RowSource

#: Databases that answer a comparison of row values from an index.
_ROW_VALUES = ("postgresql", "sqlite")


def queryset(
    qs: Any,
    *,
    cursor: Any = None,
    order_by: Any = None,
    batch: int = 1000,
    batches: bool = False,
    using: str | None = None,
    upper_bound: Any = None,
    count: Count | None = None,
) -> RowSource[Any]:
    """The rows of a Django queryset; the cursor is the row's key.

    Each page is one query behind the last key, so that resuming costs the same anywhere in the
    table when an index has the order's columns. No server-side cursor is used, and no transaction
    stays open between pages: this works behind PgBouncer in any mode. Related objects
    (``select_related``, ``prefetch_related``) are read page by page. Deleted rows do no harm; rows
    inserted behind the cursor are found, those inserted before it are not.

    Args:
        qs: a queryset or a manager. Also of ``values()``, ``values_list()``, ``only()``,
            ``defer()`` and with annotations.
        cursor: the last cursor that was yielded; ``None`` for the first row.
        order_by: names of columns, relations' columns (``customer__name``) or annotations, with a
            ``-`` for descending; a name or a list of them. The primary key is appended, in the
            direction of the last one. Without it the queryset's own ``order_by()`` counts, else
            the primary key; ``Meta.ordering`` does not. ``NULL`` comes last, in descending order
            first, on every database.
        batch: rows per query.
        batches: yield lists of ``batch`` rows, the last one shorter, each with the cursor of its
            last row. In a worker that knows its grace period, lists become shorter while one takes
            long.
        using: the alias of the database to read from, such as a replica.
        upper_bound: the key after which to end, or the values of its first columns. ``"now"`` is
            the last key that there is when the run begins. Either is kept in the cursor, so that
            later executions end at the same row.
        count: what ``count()`` of the source returns, for a task's own ``count``: ``"exact"`` by a
            full count, ``"estimate"`` by the planner of PostgreSQL, MySQL or MariaDB; ``None`` by
            default.

    Raises:
        SourceError: the queryset or its order cannot be resumed; says what to write instead.
        CursorError: the cursor comes from other rows or another order.
    """
    qs = refusals.as_queryset(qs)
    refusals.check(qs)
    check_batch("sources.queryset", batch)
    check_count(count)
    if using is not None:
        qs = qs.using(using)
    connection = _connection(qs)
    order, columns = columns_of.ordered(qs, order_by, connection.vendor)
    if upper_bound is None and (moving := columns_of.updated_by_saving(columns)):
        raise SourceError(
            f"sources.queryset: each save() changes {moving[0]} (auto_now), so that rows that are"
            " done would come again without end; order by the primary key, or end at the rows that"
            " there are when the run begins: upper_bound='now'"
        )
    kinds = [column.kinds for column in columns]
    trusted = {c.name for c in columns if c.field in refusals.key_fields(qs.model) and c.whole}
    cursors = Cursors("sources.queryset", order, kinds, trusted=trusted)
    place = cursors.read(cursor)
    _check_zones(columns, place)
    if place.until is None and upper_bound is not None and upper_bound != NOW:
        place = Place(place.after, _bound(cursors, columns, upper_bound))
    pages = _Pages(qs, order, columns, batches)
    found = rows(
        pages.fetch,
        cursors,
        place,
        batch=batch,
        upper_bound=upper_bound,
        lists=batches,
        row_values=connection.vendor in _ROW_VALUES,
    )
    return RowSource(found, lambda: counted_rows(pages.up_to(place.until), count))


class _Pages:
    """Runs one query for each page."""

    def __init__(self, qs: Any, order: Order, columns: Sequence[Column], lists: bool) -> None:
        from celery_graceful.sources.django_rows.lookups import Lookups  # needs Django
        from celery_graceful.sources.django_rows.page_queries import PageQueries

        self._lookups = Lookups({column.name for column in columns if column.as_float})
        self._order = order
        self._base = qs
        # reverse() is in the order already, and would turn the terms of each page again.
        form = form_of(qs if qs.query.standard_ordering else qs.reverse(), columns)
        self._queries = PageQueries(
            form, columns, self._lookups, lists or bool(qs._prefetch_related_lookups)
        )
        # Joined rows that distinct() or an aggregation makes one again; looked at, since whether
        # it does depends on what else is selected.
        self._joined = refusals.multiplying_joins(qs) or qs.query.extra_tables

    def up_to(self, until: Sequence[Any] | None) -> Any:
        """The queryset, up to and including a key."""
        if until is None:
            return self._base
        return self._base.filter(self._lookups.all_of([up_to(self._order, until)]))

    def fetch(self, segment: Segment, limit: int) -> tuple[Iterable[Any], Keys]:
        """The items of one query, and their keys."""
        items, keys = self._queries.fetch(segment, limit)
        if self._joined and any(map(_same, keys, keys[1:])):
            raise SourceError(
                f"sources.queryset: the queryset of {self._base.model.__name__} returns a row"
                " several times, since it joins tables with several rows for one; filter with"
                " Exists(...) or pk__in= instead"
            )
        return items, keys


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


def _connection(qs: Any) -> Any:
    from django.db import connections

    return connections[qs.db]


# -- bounds ----------------------------------------------------------------------------------


def _bound(cursors: Cursors, columns: Sequence[Column], upper_bound: Any) -> tuple[Any, ...]:
    until = cursors.bound(upper_bound)
    for column, value in zip(columns, until, strict=False):
        kinds = (*(column.kinds or (object,)), *([Decimal] if column.as_float else ()))
        if value is not None and not isinstance(value, kinds):
            raise SourceError(
                f"sources.queryset: upper_bound has {value!r:.200} for {column.name}, whose values"
                f" are of type {kinds[-1].__name__}; give one of those"
            )
        if not _zone_fits(column, value):
            raise SourceError(
                f"sources.queryset: upper_bound has {value!r} for {column.name}, and USE_TZ ="
                f" {_use_tz()}; write django.utils.timezone.now() or make_aware()"
            )
    return until


def _check_zones(columns: Sequence[Column], place: Place) -> None:
    for column, value in zip(columns, place.after or (), strict=False):
        if not _zone_fits(column, value):
            raise CursorError(
                f"sources.queryset: the cursor has {value.isoformat()} for {column.name}, and"
                f" USE_TZ is {_use_tz()} now: the setting was changed since; start the run anew, or"
                " set it back until the run has ended"
            )


def _zone_fits(column: Column, value: Any) -> bool:
    moments = column.kinds is not None and datetime in column.kinds
    return not moments or value is None or (value.tzinfo is not None) == _use_tz()


def _use_tz() -> bool:
    from django.conf import settings

    return bool(settings.USE_TZ)
