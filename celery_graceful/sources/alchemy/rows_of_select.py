"""``sources.select``, put together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import types

from celery_graceful.errors import SourceError
from celery_graceful.sources.alchemy.connecting import Target
from celery_graceful.sources.alchemy.ordering import Ordering
from celery_graceful.sources.alchemy.reading_pages import Pages
from celery_graceful.sources.alchemy.row_counts import check_count, counted_rows
from celery_graceful.sources.alchemy.selected import NAME, checked, has_entities
from celery_graceful.sources.keyset.key_cursors import Cursors
from celery_graceful.sources.keyset.row_pages import NOW, check_batch, rows
from celery_graceful.sources.keyset.row_source import RowSource


def rows_of_select(
    stmt: Any,
    session_or_engine: Any,
    *,
    cursor: Any,
    order_by: Any,
    unique: bool,
    batch: int,
    batches: bool,
    upper_bound: Any,
    count: Any,
) -> RowSource[Any]:
    """See :func:`celery_graceful.sources.select`."""
    stmt, target = checked(stmt), Target(session_or_engine)
    batch, how = check_batch(NAME, batch), check_count(count)
    if target.makes_sessions and stmt._for_update_arg is not None:
        raise SourceError(
            f"{NAME}: the statement has FOR UPDATE, and its locks would end before the rows are"
            " worked on; leave it out, and lock the row in the item's own transaction"
        )
    ordering = Ordering(stmt, order_by, unique, upper_bound is not None)
    columns = ordering.columns
    trusted = {
        key.name for key in ordering.order.keys if not key.nullable and _kinds(columns[key.name])
    }
    kinds = [_kinds(column) for column in columns.values()]
    cursors = Cursors(NAME, ordering.order, kinds, trusted=trusted)
    place = cursors.read(cursor)
    pages = Pages(stmt, ordering, target)
    if upper_bound is not None and upper_bound != NOW:
        upper_bound = pages.as_read(cursors.bound(upper_bound))
    found = rows(
        pages.fetch,
        cursors,
        place,
        batch=batch,
        upper_bound=upper_bound,
        lists=batches,
        row_values=pages.row_values,
        watch=target.watch if target.keeps_objects and has_entities(stmt) else None,
    )
    return RowSource(found, lambda: counted_rows(stmt, target, how))


def _kinds(column: Any) -> tuple[type, ...] | None:
    """What a cursor of this column holds, where that is certain."""
    if not getattr(column, "primary_key", False):
        return None
    if isinstance(column.type, types.Integer):
        return (int,)
    return (str,) if isinstance(column.type, types.String) else None
