"""A store in the memory of one process: for tests, and for trying things out."""

from __future__ import annotations

import heapq
import math
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from celery_graceful.forks import after_fork
from celery_graceful.model.run.record import Record, RunKey, State, replace
from celery_graceful.stores.base import Flushed, Found, Swapped, Text, next_version
from celery_graceful.stores.memory_tabs import MemoryTabs, Row

_LEASED = frozenset({State.RUNNING, State.FINISHING})


class _Written(NamedTuple):
    version: int
    text: str
    at: float
    expires_at: float


@dataclass(slots=True)
class _Entries:
    """Quarantined items of one run."""

    by_ordinal: dict[int, str] = field(default_factory=dict)
    ordinals: list[int] = field(default_factory=list)
    expires_at: float = 0.0


def _steady() -> Callable[[], float]:
    """The present time, and from then on one that never jumps."""
    begin = time.time() - time.monotonic()
    return lambda: begin + time.monotonic()


class MemoryStore(MemoryTabs):
    """Dictionaries behind a lock.

    Args:
        clock: The store's time, in Unix seconds; by default one that never jumps.
    """

    shared_between_hosts = False
    shared_between_processes = False

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or _steady()
        self._rows: dict[RunKey, Row] = {}
        #: The id and task of each run, in this order.
        self._ids: list[tuple[str, str]] = []
        self._expiring: list[tuple[float, RunKey]] = []
        self._quarantined: dict[RunKey, _Entries] = {}
        self._texts: dict[tuple[str, str], _Written] = {}
        self._lock = threading.Lock()
        after_fork(self._unlock)

    def _unlock(self) -> None:
        # Another thread of the parent may have held the lock at the fork: nobody frees it here.
        self._lock = threading.Lock()

    def check(self) -> None:
        """Nothing can be wrong with memory."""

    def close(self) -> None:
        """There is nothing to give back; the records stay."""

    # -- runs -------------------------------------------------------------------------------

    def load(self, run: RunKey) -> Found:
        with self._lock:
            now = self._clock()
            row = self._row(run, now)
            return Found(row.record if row else None, now)

    def swap(
        self,
        run: RunKey,
        expected: int,
        record: Record,
        *,
        due_in: float | None = None,
        keep: float | None = None,
    ) -> Swapped:
        with self._lock:
            now = self._clock()
            row = self._row(run, now)
            if (row.record.version if row else 0) != expected:
                return Swapped(False, now, record=row.record if row else None)
            due_at = None if due_in is None or keep is not None else now + due_in
            expires_at, ended_at = (None, None) if keep is None else (now + keep, now)
            version = next_version(expected, record)
            written = replace(record, version=version, due_at=due_at, ended_at=ended_at)
            if row is None:
                insort(self._ids, (run[1], run[0]))
            self._rows[RunKey(*run)] = Row(written, expires_at)
            if expires_at is not None:
                heapq.heappush(self._expiring, (expires_at, RunKey(*run)))
            self._forget(now)
            return Swapped(True, now, version)

    def checkpoint(
        self, run: RunKey, fence: int, checkpoint: str, steps: int, *, due_in: float
    ) -> Flushed:
        with self._lock:
            now = self._clock()
            row = self._row(run, now)
            if row is None:
                return Flushed(False, gone=True)
            if not _is_running(row, fence):
                return Flushed(False)
            row.record = replace(
                row.record,
                checkpoint=checkpoint,
                steps=steps,
                due_at=now + due_in,
                version=row.record.version + 1,
            )
            return Flushed(True, row.record.version, row.record.requested)

    def renew(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        with self._lock:
            now = self._clock()
            for run in runs:
                row = self._row(run, now)
                if row and row.record.owner == owner and row.record.state in _LEASED:
                    version = row.record.version + 1
                    row.record = replace(row.record, due_at=now + due_in, version=version)

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        with self._lock:
            now = self._clock()
            self._forget(now)
            overdue = [
                (row.record.due_at, run, row.record)
                for run, row in self._rows.items()
                if row.record.due_at is not None and row.record.due_at <= now
            ]
        overdue.sort(key=lambda found: found[:2])
        return [(run, record) for _, run, record in overdue[: max(limit, 0)]]

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        with self._lock:
            self._forget(self._clock())
            first = bisect_left(self._ids, (prefix, ""))
            ids = self._ids[first : first + max(limit, 0)]
            return [RunKey(task, id_) for id_, task in ids if id_.startswith(prefix)]

    def _row(self, run: RunKey, now: float) -> Row | None:
        row = self._rows.get(run)
        if row is not None and row.expires_at is not None and row.expires_at <= now:
            del self._rows[run]
            del self._ids[bisect_left(self._ids, (run[1], run[0]))]
            return None
        return row

    def _forget(self, now: float) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            _, run = heapq.heappop(self._expiring)
            self._row(run, now)

    # -- quarantined items ------------------------------------------------------------------

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        with self._lock:
            now = self._clock()
            if not _is_running(self._row(run, now), fence):
                return False
            of = self._entries(run) or self._quarantined.setdefault(RunKey(*run), _Entries())
            if ordinal not in of.by_ordinal:
                insort(of.ordinals, ordinal)
            of.by_ordinal[ordinal] = entry
            of.expires_at = max(of.expires_at, now + keep)
            return True

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        with self._lock:
            of = self._entries(run) or _Entries()
            at = bisect_left(of.ordinals, first)
            page = of.ordinals[at : at + max(limit, 0)]
            return [(ordinal, of.by_ordinal[ordinal]) for ordinal in page]

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        with self._lock:
            of = self._entries(run) or _Entries()
            return max(0, min(limit, len(of.ordinals) - bisect_left(of.ordinals, first)))

    def drop_quarantined(self, run: RunKey, ordinals: Collection[int]) -> None:
        for ordinal in ordinals:
            self.drop_quarantined_range(run, ordinal, ordinal)

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        with self._lock:
            if fence is not None and not _is_running(self._row(run, self._clock()), fence):
                return
            of = self._entries(run) or _Entries()
            begin = bisect_left(of.ordinals, first)
            end = len(of.ordinals) if last is None else bisect_right(of.ordinals, last)
            for ordinal in of.ordinals[begin:end]:
                del of.by_ordinal[ordinal]
            del of.ordinals[begin:end]

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        with self._lock:
            of = self._entries(run)
            if of is not None:
                of.expires_at = self._clock() + keep

    def _entries(self, run: RunKey) -> _Entries | None:
        of = self._quarantined.get(run)
        if of is not None and of.expires_at <= self._clock():
            del self._quarantined[run]
            return None
        return of

    # -- texts ------------------------------------------------------------------------------

    def read_text(self, kind: str, name: str) -> Text:
        with self._lock:
            return self._text(kind, name, self._clock())

    def write_text(
        self,
        kind: str,
        name: str,
        text: str,
        *,
        expected: int | None = None,
        version: int | None = None,
        keep: float | None = None,
    ) -> Text | None:
        with self._lock:
            now = self._clock()
            if expected is not None and self._text(kind, name, now).version != expected:
                return None
            expires_at = math.inf if keep is None else now + keep
            written = _Written(version or (expected or 0) + 1, text, now, expires_at)
            self._texts[kind, name] = written
            return self._text(kind, name, now)

    def delete_text(self, kind: str, name: str) -> None:
        with self._lock:
            self._texts.pop((kind, name), None)

    def texts(self, kind: str) -> list[Text]:
        with self._lock:
            now = self._clock()
            found = [self._text(kind, name, now) for of, name in list(self._texts) if of == kind]
        return sorted(text for text in found if text.version)

    def _text(self, kind: str, name: str, now: float) -> Text:
        written = self._texts.get((kind, name))
        if written is not None and written.expires_at <= now:
            del self._texts[kind, name]
            written = None
        if written is None:
            return Text(name, "", 0, 0.0, now)
        return Text(name, written.text, written.version, written.at, now)


def _is_running(row: Row | None, fence: int) -> bool:
    return row is not None and row.record.state is State.RUNNING and row.record.fence == fence
