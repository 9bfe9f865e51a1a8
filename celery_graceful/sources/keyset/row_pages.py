"""Page after page of rows behind the last key; no Python runs per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

from celery_graceful.errors import SourceError
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.sources.keyset.key_cursors import Cursors, KeyColumns, Place
from celery_graceful.sources.keyset.moved_rows import MovedRows
from celery_graceful.sources.keyset.predicate import Segment, segments

#: The keys of a page's items: each a value, or a tuple of several.
Keys: TypeAlias = list[Any] | KeyColumns
#: Runs one query with a limit: the items, and their keys.
Fetch: TypeAlias = Callable[[Segment, int], tuple[list[Any], Keys]]

#: As ``upper_bound``: the last key that there is when the run begins.
NOW = "now"


def rows(
    fetch: Fetch,
    cursors: Cursors,
    place: Place,
    *,
    batch: int,
    upper_bound: Any = None,
    lists: bool = False,
    row_values: bool = True,
) -> Iterator[tuple[Any, Any]]:
    """The rows behind a place, each with its cursor; nothing is asked before the first.

    Args:
        fetch: runs one query.
        cursors: of the source.
        place: where to begin, as read from the cursor.
        batch: rows per query; with ``lists`` also per list, where a worker may make them fewer.
        upper_bound: ``None``, ``"now"`` or a key; one that the cursor has frozen comes first.
        lists: yield lists of rows, each with the cursor of its last one.
        row_values: see :func:`~.predicate.segments`.
    """
    pages = _pages(fetch, cursors, place, batch, upper_bound, lists, row_values)
    if lists:
        return (
            (items, cursor)
            for items, keys, until in pages
            for cursor in cursors.of(keys[-1:], until)
        )
    return chain.from_iterable(
        zip(items, cursors.of(keys, until), strict=True) for items, keys, until in pages
    )


def check_batch(source: str, batch: object) -> int:
    """``batch`` when it is a number of rows.

    Raises:
        SourceError: it is not.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise SourceError(f"{source}: batch must be a whole number of 1 or more, not {batch!r}")
    return batch


def last_key(fetch: Fetch, cursors: Cursors, *, row_values: bool = True) -> tuple[Any, ...] | None:
    """The key of the last row in the source's order; ``None`` when there are no rows."""
    order = cursors.order
    for segment in segments(order.reversed, row_values=row_values):
        _, keys = fetch(segment, 1)
        if keys:
            return _as_tuple(keys[0], len(order.keys))
    return None


def _pages(
    fetch: Fetch,
    cursors: Cursors,
    place: Place,
    batch: int,
    upper_bound: Any,
    lists: bool,
    row_values: bool,
) -> Iterator[tuple[list[Any], Sequence[Any], tuple[Any, ...] | None]]:
    order, (after, until) = cursors.order, place
    if until is None and upper_bound is not None:
        if upper_bound == NOW:
            until = last_key(fetch, cursors, row_values=row_values)
            if until is None:
                return
        else:
            until = cursors.bound(upper_bound)
    width, sized = len(order.keys), batch_sizer.get() if lists else None
    moved = MovedRows(cursors.source, order) if until is None else None
    while True:
        limit = batch if sized is None else sized(batch)
        items, keys = _page(fetch, segments(order, after, until, row_values=row_values), limit)
        if not items:
            return
        if after is not None and _as_tuple(keys[0], width) == after:
            raise SourceError(
                f"{cursors.source}: the row {after!r:.200} comes again behind itself: the database"
                f" does not compare the columns {order.text} as it returns them; order by others"
            )
        after = _as_tuple(keys[-1], width)
        if moved is not None:
            moved.look(keys)
        page, short = (items, keys, until), len(items) < limit
        del items, keys
        yield page
        del page
        if short:
            return


def _page(fetch: Fetch, left: list[Segment], limit: int) -> tuple[list[Any], Sequence[Any]]:
    keys: Sequence[Any]
    items, keys = fetch(left[0], limit)
    for segment in left[1:]:
        if len(items) >= limit:
            break
        more, their_keys = fetch(segment, limit - len(items))
        items, keys = items + more, [*keys, *their_keys] if items else their_keys
    return items, keys


def _as_tuple(key: Any, width: int) -> tuple[Any, ...]:
    return (key,) if width == 1 else tuple(key)
