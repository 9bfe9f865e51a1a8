"""One page of a listing.

Of one tab, runs come in the order of its index. Of all runs, live ones come first, by the time they
began, then those that have ended. A run that ends between two pages keeps its place among the live
ones, where it may have been shown already: so no run is on two pages and none is missed, whatever
happens meanwhile.

A page reads a bounded number of records, however few fit the filter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from heapq import merge
from operator import attrgetter

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.runs.listing.filters import Filter
from celery_graceful.runs.listing.positions import (
    InAll,
    InTab,
    read_in_all,
    read_in_tab,
    written,
)
from celery_graceful.runs.lookup import Found
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Listed, Place, Store
from celery_graceful.stores.tabs import Only, Tab, browse, time_of

#: Runs that are read from the store in one go, where a filter may leave out many.
_AT_ONCE = 250
#: Calls of the store for a page of one tab: each looks at a bounded number of records.
_MOST_CALLS = 4

_Test = Callable[[RunKey, Record], bool]
#: The runs of a page with the store's time, and where the next page begins.
Shown = tuple[list[Found], str | None]


def page(runtime: Runtime, wanted: Filter, limit: int, after: str | None) -> Shown:
    """Up to ``limit`` runs behind the page before.

    Raises:
        ValueError: an argument cannot be what it is; the message says which and why.
    """
    if limit < 1:
        raise ValueError(f"limit: {limit!r} is less than 1")
    tab = wanted.tab()
    wanted = wanted.at(lambda: time_of(runtime.store))
    if tab is None:
        return _page_of_all(runtime, wanted, limit, after)
    place = None if after is None else read_in_tab(after, tab)
    walk = _Walk(runtime.store, tab, wanted.only(), place)
    rows = walk.rows(wanted.test(runtime), limit)
    shown = [Found(row.key, row.record, walk.now) for row in rows]
    return shown, None if walk.place is None else written(InTab(tab, walk.place))


def _page_of_all(runtime: Runtime, wanted: Filter, limit: int, after: str | None) -> Shown:
    store, test = runtime.store, wanted.test(runtime)
    position = None if after is None else read_in_all(after)
    rows: list[Listed] = []
    now = 0.0
    if position is None or position.ended is None:
        live = _Walk(store, Tab.LIVE, wanted.only(), position and position.live)
        found, now = live.rows(test, limit), live.now
        # The live ones are read first: one that ends before the second reading is in both.
        alone = position is None and live.calls == 1
        position = position or InAll(now)
        since = [] if alone else _since(store, position, test, {row.key for row in found})
        for row, is_live in _merged(found, since, live.place):
            if len(rows) == limit:
                return _shown(rows, now, position)
            position = position.behind_live(row) if is_live else position._replace(since=row.place)
            rows.append(row)
        if live.place is not None:
            return _shown(rows, now, position.passed_live(live.place))
    ended = _Walk(store, Tab.ENDED, wanted.only(), position.ended)
    test_earlier = _earlier(test, position.began, {row.key for row in rows})
    left = limit - len(rows)
    found = ended.rows(test_earlier, left or 1)
    if not left:
        return _shown(rows, now, position if found or ended.place is not None else None)
    behind = None if ended.place is None else position._replace(ended=ended.place)
    return _shown(rows + found, now or ended.now, behind)


def _shown(rows: list[Listed], now: float, position: InAll | None) -> Shown:
    found = [Found(row.key, row.record, now) for row in rows]
    return found, None if position is None else written(position)


def _earlier(test: _Test, began: float, shown: Set[RunKey]) -> _Test:
    """As ``test``, of runs that had ended when the first page was read, and are not shown."""
    return lambda key, record: (
        not _ended_after(record, began) and key not in shown and test(key, record)
    )


def _merged(
    live: list[Listed], since: list[Listed], place: Place | None
) -> Iterator[tuple[Listed, bool]]:
    """Live runs and those that have ended since, by when they began; which of them are live.

    Args:
        live: in their order.
        since: in any order.
        place: up to which the live ones were read; ``None``: all.
    """
    begun = (row for row in since if place is None or row.at <= place[0])
    return merge(
        ((row, True) for row in live),
        ((row, False) for row in sorted(begun, key=attrgetter("place"))),
        key=lambda each: each[0].at,
    )


def _since(store: Store, position: InAll, test: _Test, live: Set[RunKey]) -> list[Listed]:
    """The runs that ended after the first page, and are on no page yet, nor among ``live``.

    They are among the first, as ended ones are kept for a time.
    """
    found: list[Listed] = []
    after = None
    while True:
        page = store.ended(_AT_ONCE, after)
        since = [row for row in page if _ended_after(row.record, position.began)]
        for row in since:
            begun = row._replace(at=row.record.started_at)
            shown = row.key in live or position.has_shown(begun)
            if not shown and test(row.key, row.record):
                found.append(begun)
        if not since or len(page) < _AT_ONCE:
            return found
        after = page[-1].place


def _ended_after(record: Record, began: float) -> bool:
    return (record.ended_at or 0.0) > began


class _Walk:
    """Reads a tab behind a place."""

    def __init__(self, store: Store, tab: Tab, only: Only, place: Place | None) -> None:
        self._store = store
        self._tab = tab
        self._only = only
        #: Behind the last run that was shown or looked at; ``None`` at the end.
        self.place = place
        #: The store's time of the first look.
        self.now = 0.0
        self.calls = 0

    def rows(self, test: _Test, limit: int) -> list[Listed]:
        """Up to ``limit`` runs; fewer where many calls found no more."""
        rows: list[Listed] = []
        size = min(limit + 1, _AT_ONCE)
        for _ in range(max(_MOST_CALLS, limit // _AT_ONCE + 1)):
            self.calls += 1
            part = browse(self._store, self._tab, size, self.place, self._only)
            self.now = self.now or part.now
            for row in part.rows:
                if not test(row.key, row.record):
                    continue
                if len(rows) == limit:  # there is one more
                    self.place = rows[-1].place
                    return rows
                rows.append(row)
            self.place, size = part.next, _AT_ONCE
            if self.place is None or len(rows) == limit:
                break
        return rows
