"""Listings and counts of the store in memory: all its runs are looked at, which are few."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Listed, Place
from celery_graceful.stores.tabs import ANY, LOOKS, Counts, Only, Part, Tab


@dataclass(slots=True)
class Row:
    """A run's record, and until when it is kept if it has ended."""

    record: Record
    expires_at: float | None


class MemoryTabs:
    """What the store does for listings."""

    _clock: Callable[[], float]
    _rows: dict[RunKey, Row]
    _lock: threading.Lock

    @abstractmethod
    def _forget(self, now: float) -> None: ...

    def live(self, limit: int, after: Place | None = None) -> list[Listed]:
        return _behind(self._listed(Tab.LIVE), after)[: max(limit, 0)]

    def ended(self, limit: int, after: Place | None = None) -> list[Listed]:
        return _before(self._listed(Tab.ENDED), after)[: max(limit, 0)]

    def counts(self) -> Counts:
        live, paused, failed, ended = (
            len(self._listed(tab)) for tab in (Tab.LIVE, Tab.PAUSED, Tab.FAILED, Tab.ENDED)
        )
        return Counts(live - paused, paused, failed, ended)

    def browse(self, tab: Tab, limit: int, after: Place | None = None, only: Only = ANY) -> Part:
        now = self._clock()
        order = _behind if tab in (Tab.LIVE, Tab.PAUSED) else _before
        found = order(self._listed(tab), after)
        rows: list[Listed] = []
        for row in found[:LOOKS]:
            if len(rows) == limit:
                return Part(rows, rows[-1].place, now)
            rows += [row] if only.task in ("", row.key.task) else []
        return Part(rows, found[LOOKS - 1].place if len(found) > LOOKS else None, now)

    def _listed(self, tab: Tab) -> list[Listed]:
        with self._lock:
            self._forget(self._clock())
            found = [
                Listed(run, row.record, row.expires_at or row.record.started_at)
                for run, row in self._rows.items()
                if (row.expires_at is not None) is (tab in (Tab.ENDED, Tab.FAILED))
                and (tab in (Tab.LIVE, Tab.ENDED) or tab.holds(row.record))
            ]
        return sorted(found, key=attrgetter("place"))


def _behind(rows: list[Listed], after: Place | None) -> list[Listed]:
    return [row for row in rows if after is None or row.place > after]


def _before(rows: list[Listed], after: Place | None) -> list[Listed]:
    return [row for row in reversed(rows) if after is None or row.place < after]
