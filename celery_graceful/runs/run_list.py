"""Listings of runs, filtered and in pages that stand still.

Live runs come first, by the time they began, then those that have ended. A run that ends between
two pages keeps its place among the live ones, where it may have been shown already: so no run is on
two pages and none is missed, whatever happens meanwhile.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from celery_graceful.durations import parse
from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.model.run.verbs import QUEUED, public_state
from celery_graceful.runs.lookup import Found
from celery_graceful.runs.plain_run import queue_of
from celery_graceful.runtime import Runtime
from celery_graceful.stores.base import Listed, Place, Store

#: What ``state=`` may be.
STATES = (QUEUED, *map(str, State), *map(str, Outcome))
#: Runs that are read from the store in one go, where a filter may leave out many.
_AT_ONCE = 250
#: No run has this key; loading it gives the store's time.
_NOBODY = RunKey("", "")

_Test = Callable[[RunKey, Record], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are wanted; ``None`` and empty: any."""

    state: str | None = None
    task: str | None = None
    queue: str | None = None
    worker: str | None = None
    text: str = ""
    since: datetime | timedelta | str | None = None

    def test(self, runtime: Runtime, now: float) -> Callable[[RunKey, Record], bool]:
        """Whether a run is wanted at ``now``, the store's time.

        Raises:
            ValueError: there is no such state, or ``since`` cannot be read.
        """
        if self.state is not None and self.state not in STATES:
            raise ValueError(f"state: {self.state!r} is none of {', '.join(STATES)}")
        since = _moment(self.since, now)
        text = self.text.lower()

        def wanted(key: RunKey, record: Record) -> bool:
            return (
                self.state in (None, str(record.state), public_state(record))
                and self.task in (None, key.task)
                and (self.worker is None or _runs_on(record, self.worker))
                and (since is None or record.started_at >= since)
                and text in f"{key} {record.owner or ''}".lower()
                # Last, since the message has to be unpacked.
                and (self.queue is None or self.queue == queue_of(runtime, record))
            )

        return wanted


def _runs_on(record: Record, worker: str) -> bool:
    """Whether ``worker`` owns the run: its node name, or the name with that of its start."""
    owner = record.owner or ""
    return worker in (owner, owner.rpartition("/")[0])


def _moment(since: datetime | timedelta | str | None, now: float) -> float | None:
    if since is None:
        return None
    return since.timestamp() if isinstance(since, datetime) else now - parse(since)


class _Position(NamedTuple):
    """Where a listing continues."""

    #: The store's time of the first page: a run that ends later counts as live.
    began: float
    #: The last live run that was shown, and all that were shown and began at the same time.
    live: Place | None = None
    beside: tuple[RunKey, ...] = ()
    #: The last one shown of those that have ended since, by the time it began.
    since: Place | None = None
    #: The last one shown of those that had ended by then.
    ended: Place | None = None

    def behind_live(self, row: Listed) -> _Position:
        beside = self.beside if self.live is not None and self.live[0] == row.at else ()
        return self._replace(live=row.place, beside=(*beside, row.key))

    def has_shown(self, row: Listed) -> bool:
        """Whether a run that has ended since was shown, while it was live or after."""
        if self.since is not None and row.place <= self.since:
            return True
        return self.live is not None and (row.at < self.live[0] or row.key in self.beside)


_Row = tuple[Listed, _Position]


def page(
    runtime: Runtime, wanted: Filter, limit: int, after: str | None
) -> tuple[Sequence[Found], str | None]:
    """The next ``limit`` runs after a place in the listing, and the place to continue after.

    Raises:
        ValueError: ``after`` is no such place, or the filter is wrong.
        StoreUnavailable: the store did not answer.
    """
    if limit < 1:
        raise ValueError(f"limit: {limit!r} is less than 1")
    position = None if after is None else _read(after)
    now = runtime.store.load(_NOBODY).now  # before the listing: what ends during it counts as live
    test = wanted.test(runtime, now)
    rows = _rows(runtime.store, position or _Position(now), test, limit + 1)
    found = [Found(row.key, row.record, now) for row, _ in rows[:limit]]
    return found, _written(rows[limit - 1][1]) if len(rows) > limit else None


def _rows(store: Store, position: _Position, test: _Test, most: int) -> list[_Row]:
    """Up to ``most`` runs behind a position, each with the position behind it."""
    rows: list[_Row] = []
    if position.ended is None:
        for row, live in _live(store, position, test, most):
            position = position.behind_live(row) if live else position._replace(since=row.place)
            rows.append((row, position))
    ended = (
        row
        for row in _walk(store.ended, position.ended, most)
        if not _ended_after(row, position.began) and test(row.key, row.record)
    )
    rows += ((row, position._replace(ended=row.place)) for row in islice(ended, most - len(rows)))
    return rows[:most]


def _live(
    store: Store, position: _Position, test: _Test, most: int
) -> Iterator[tuple[Listed, bool]]:
    """Runs that were live at the first page, by when they began, and whether they are still."""
    # The live ones are read first: one that ends before the second reading is in both.
    walk = _walk(store.live, position.live, most)
    live = list(islice((row for row in walk if test(row.key, row.record)), most))
    shown = {row.key for row in live}
    since = [
        row
        for row in map(_by_start, _ended_since(store, position.began))
        if row.key not in shown and not position.has_shown(row) and test(row.key, row.record)
    ]
    both = merge(
        ((row, True) for row in live),
        ((row, False) for row in sorted(since, key=attrgetter("place"))),
        key=lambda each: each[0].at,
    )
    return islice(both, most)


def _ended_since(store: Store, began: float) -> Iterator[Listed]:
    """The runs that ended after ``began``: among the first, as ended ones are kept for a time."""
    after = None
    while True:
        page = store.ended(_AT_ONCE, after)
        since = [row for row in page if _ended_after(row, began)]
        yield from since
        if not since or len(page) < _AT_ONCE:
            return
        after = page[-1].place


def _ended_after(row: Listed, began: float) -> bool:
    return (row.record.ended_at or 0.0) > began


def _by_start(row: Listed) -> Listed:
    return row._replace(at=row.record.started_at)


def _walk(
    read: Callable[[int, Place | None], list[Listed]], after: Place | None, most: int
) -> Iterator[Listed]:
    """All runs of a sequence behind a place: the first page as long as the caller needs."""
    size = min(most, _AT_ONCE)
    while True:
        page = read(size, after)
        yield from page
        if len(page) < size:
            return
        after, size = page[-1].place, _AT_ONCE


def _written(position: _Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read(text: str) -> _Position:
    try:
        began, live, beside, since, ended = json.loads(base64.urlsafe_b64decode(text))
        keys = tuple(RunKey(str(task), str(id)) for task, id in beside)
        return _Position(float(began), _place(live), keys, _place(since), _place(ended))
    except (ValueError, TypeError) as exc:
        raise ValueError(f"after: {text!r} is not what the page before gave as `next`") from exc


def _place(given: Any) -> Place | None:
    if given is None:
        return None
    at, (task, id) = given
    return float(at), RunKey(str(task), str(id))
