"""Page after page of rows behind the last key; no Python runs per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from celery_graceful.errors import SourceError
from celery_graceful.sources.basic import batch_sizer
from celery_graceful.sources.keyset.key_cursors import Cursors, KeyColumns, Place, columns_of
from celery_graceful.sources.keyset.moved_rows import MovedRows
from celery_graceful.sources.keyset.page_cuts import CutPage, Watch
from celery_graceful.sources.keyset.predicate import Segment, segments

#: The keys of a page's items: each a value, or a tuple of several.
Keys: TypeAlias = list[Any] | KeyColumns
#: Runs one query with a limit: the items, and their keys. The items are a list where lists are
#: yielded or pages are watched; else they may be an iterator, which makes them as they are taken.
Fetch: TypeAlias = Callable[[Segment, int], tuple[Iterable[Any], Keys]]

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
    watch: Watch | None = None,
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
        watch: notices when the rows of a page are stale, so that the rest of it is read anew.
    """
    asked = _Asked(fetch, cursors, batch, lists, row_values, None if lists else watch)
    pages = asked.pages(place, upper_bound)
    if lists:
        return (
            (items, cursor)
            for items, keys, until in pages
            for cursor in cursors.of(keys[-1:], until)
        )
    return chain.from_iterable(
        zip(items, cursors.of(keys, until))  # noqa: B905 - a page that is cut ends early
        for items, keys, until in pages
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


class _Asked(NamedTuple):
    """What was asked of :func:`rows`."""

    fetch: Fetch
    cursors: Cursors
    batch: int
    lists: bool
    row_values: bool
    watch: Watch | None

    def pages(
        self, place: Place, upper_bound: Any
    ) -> Iterator[tuple[Iterable[Any], Sequence[Any], tuple[Any, ...] | None]]:
        """Each page's items, their keys, and the frozen upper bound."""
        after, until = place
        order = self.cursors.order
        if until is None and upper_bound is not None:
            until = self._frozen(upper_bound)
            if until is None:
                return
        sized = batch_sizer.get() if self.lists else None
        moved = MovedRows(self.cursors.source, order) if until is None else None
        width = len(order.keys)
        before: Sequence[Any] = () if after is None else [after if width > 1 else after[0]]
        while True:
            limit = self.batch if sized is None else sized(self.batch)
            left = segments(order, after, until, row_values=self.row_values)
            items, keys = _page(self.fetch, left, limit)
            if not keys:
                return
            self._check_moves(before, keys)
            if moved is not None:
                moved.look(keys)
            done = whole = len(keys)
            if self.watch is None:
                page: Any = (items, keys, until)
                del items
                yield page
                del page
            else:
                items = list(items)
                cut = CutPage(items)
                with self.watch(cut.cut):
                    yield cut, keys, until
                done = whole if cut.taken is None else cut.taken
                del items, cut
            if moved is not None:
                moved.note(keys[:done])
            if done:
                before, after = keys[:done], _as_tuple(keys[done - 1], width)
            if done == whole < limit:
                return

    def _frozen(self, upper_bound: Any) -> tuple[Any, ...] | None:
        if upper_bound == NOW:
            return last_key(self.fetch, self.cursors, row_values=self.row_values)
        return self.cursors.bound(upper_bound)

    def _check_moves(self, before: Sequence[Any], keys: Sequence[Any]) -> None:
        """Raise if a page begins with a row of the page before, its key unchanged."""
        order, first = self.cursors.order, keys[0]
        if len(order.keys) == 1:
            again = first in before
        else:
            columns = list(columns_of(before))
            again = bool(columns) and first[-1] in columns[-1] and first in zip(*columns)  # noqa: B905
        if again:
            raise SourceError(
                f"{self.cursors.source}: the row {first!r:.200} comes again behind itself: the"
                f" database does not compare the columns {order.text} as it returns them; order by"
                " others"
            )


def _page(fetch: Fetch, left: list[Segment], limit: int) -> tuple[Iterable[Any], Sequence[Any]]:
    parts: list[Iterable[Any]] = []
    keys: Sequence[Any] = []
    for segment in left:
        items, their_keys = fetch(segment, limit - len(keys))
        if their_keys:
            parts.append(items)
            keys = [*keys, *their_keys] if keys else their_keys
        if len(keys) >= limit:
            break
    if len(parts) == 1:
        return parts[0], keys
    joined = chain.from_iterable(parts)
    return (list(joined) if all(isinstance(part, list) for part in parts) else joined), keys


def _as_tuple(key: Any, width: int) -> tuple[Any, ...]:
    return (key,) if width == 1 else tuple(key)
