"""Quarantined items in memory: for each run a dictionary, and its ordinals in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection

from celery_graceful.model.run.record import RunKey


class _Entries:
    __slots__ = ("by_ordinal", "ordinals", "until")

    def __init__(self) -> None:
        self.by_ordinal: dict[int, str] = {}
        self.ordinals: list[int] = []
        self.until = 0.0


class MemoryQuarantine:
    """What a store does for quarantined items; its owner holds the lock and tells the time."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, _Entries] = {}

    def put(self, run: RunKey, ordinal: int, entry: str, now: float, keep: float) -> None:
        """Keep an entry."""
        of = self._of(run, now) or self._runs.setdefault(RunKey(*run), _Entries())
        if ordinal not in of.by_ordinal:
            insort(of.ordinals, ordinal)
        of.by_ordinal[ordinal] = entry
        of.until = max(of.until, now + keep)

    def listing(self, run: RunKey, first: int, limit: int, now: float) -> list[tuple[int, str]]:
        """Entries by their ordinals."""
        of = self._of(run, now)
        if of is None or limit <= 0:
            return []
        at = bisect_left(of.ordinals, first)
        return [(ordinal, of.by_ordinal[ordinal]) for ordinal in of.ordinals[at : at + limit]]

    def count(self, run: RunKey, first: int, limit: int, now: float) -> int:
        """How many there are, up to ``limit``."""
        of = self._of(run, now)
        there = 0 if of is None else len(of.ordinals) - bisect_left(of.ordinals, first)
        return max(min(there, limit), 0)

    def drop(self, run: RunKey, ordinals: Collection[int], now: float) -> None:
        """Forget entries."""
        for ordinal in ordinals:
            self.drop_range(run, ordinal, ordinal, now)

    def drop_range(self, run: RunKey, first: int, last: int | None, now: float) -> None:
        """Forget the entries from ``first`` to ``last``."""
        of = self._of(run, now)
        if of is None:
            return
        begin = bisect_left(of.ordinals, first)
        end = len(of.ordinals) if last is None else bisect_right(of.ordinals, last)
        for ordinal in of.ordinals[begin:end]:
            del of.by_ordinal[ordinal]
        del of.ordinals[begin:end]

    def keep(self, run: RunKey, now: float, keep: float) -> None:
        """Keep the entries for so many seconds more."""
        of = self._of(run, now)
        if of is not None:
            of.until = now + keep

    def _of(self, run: RunKey, now: float) -> _Entries | None:
        of = self._runs.get(run)
        if of is not None and of.until <= now:
            del self._runs[run]
            return None
        return of
