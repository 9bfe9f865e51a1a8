"""A store in the memory of one process: for tests, and for trying things out."""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Collection

from celery_graceful.model.run.record import Record, RunKey, State, replace
from celery_graceful.stores.base import Flushed, Found, Swapped, next_version
from celery_graceful.stores.boarded import Boarded
from celery_graceful.stores.memory.board import MemoryBoard
from celery_graceful.stores.memory.quarantine import MemoryQuarantine

_LEASED = frozenset({State.RUNNING, State.FINISHING})


class _Row:
    __slots__ = ("expires_at", "record")

    def __init__(self, record: Record, expires_at: float | None) -> None:
        self.record = record
        self.expires_at = expires_at


def _place(row: _Row) -> tuple[bool, float]:
    """Where a row stands in the list of all runs."""
    if row.expires_at is not None:
        return True, -row.expires_at
    return False, math.inf if row.record.due_at is None else row.record.due_at


def _steady() -> Callable[[], float]:
    """The present time, and from then on one that never jumps."""
    begin = time.time() - time.monotonic()
    return lambda: begin + time.monotonic()


class MemoryStore(Boarded):
    """Records in a dictionary behind a lock.

    Args:
        clock: The store's time, in Unix seconds; by default one that never jumps.
    """

    shared_between_hosts = False
    shared_between_processes = False

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or _steady()
        self._rows: dict[RunKey, _Row] = {}
        #: The id and task of each run, in this order.
        self._ids: list[tuple[str, str]] = []
        self._quarantine = MemoryQuarantine()
        self._expiring: list[tuple[float, RunKey]] = []
        self._pid = os.getpid()
        self._own_lock = threading.Lock()
        self._board = MemoryBoard(self._clock, lambda: self._lock)

    @property
    def _lock(self) -> threading.Lock:
        if self._pid != os.getpid():
            # Another thread of the parent may have held the lock at the fork: nobody frees it here.
            self._own_lock = threading.Lock()
            self._pid = os.getpid()
        return self._own_lock

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
            expires_at = None if keep is None else now + keep
            ended_at = None if keep is None else now
            version = next_version(expected, record)
            written = replace(record, version=version, due_at=due_at, ended_at=ended_at)
            if row is None:
                insort(self._ids, (run[1], run[0]))
            self._rows[RunKey(*run)] = _Row(written, expires_at)
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
            if row.record.state is not State.RUNNING or row.record.fence != fence:
                return Flushed(False)
            row.record = replace(
                row.record,
                checkpoint=checkpoint,
                steps=steps,
                due_at=now + due_in,
                version=row.record.version + 1,
            )
            return Flushed(True, row.record.version, row.record.requested)

    def beat(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        with self._lock:
            now = self._clock()
            for run in runs:
                row = self._row(run, now)
                if row and row.record.owner == owner and row.record.state in _LEASED:
                    row.record = replace(
                        row.record, due_at=now + due_in, version=row.record.version + 1
                    )

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

    def runs(self, limit: int) -> list[tuple[RunKey, Record]]:
        with self._lock:
            self._forget(self._clock())
            rows = [(_place(row), run, row.record) for run, row in self._rows.items()]
        rows.sort(key=lambda found: found[:2])
        return [(run, record) for _, run, record in rows[: max(limit, 0)]]

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        found: list[RunKey] = []
        with self._lock:
            self._forget(self._clock())
            at = bisect_left(self._ids, (prefix, ""))
            while at < len(self._ids) and len(found) < limit:
                run_id, task = self._ids[at]
                if not run_id.startswith(prefix):
                    break
                found.append(RunKey(task, run_id))
                at += 1
        return found

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        with self._lock:
            now = self._clock()
            stands = self._stands(run, fence, now)
            if stands:
                self._quarantine.put(run, ordinal, entry, now, keep)
            return stands

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        with self._lock:
            return self._quarantine.listing(run, first, limit, self._clock())

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        with self._lock:
            return self._quarantine.count(run, first, limit, self._clock())

    def drop_quarantined(
        self, run: RunKey, ordinals: Collection[int], *, fence: int | None = None
    ) -> None:
        with self._lock:
            now = self._clock()
            if fence is None or self._stands(run, fence, now):
                self._quarantine.drop(run, ordinals, now)

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        with self._lock:
            now = self._clock()
            if fence is None or self._stands(run, fence, now):
                self._quarantine.drop_range(run, first, last, now)

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        with self._lock:
            self._quarantine.keep(run, self._clock(), keep)

    def check(self) -> None:
        """Nothing can be wrong with memory."""

    def close(self) -> None:
        """There is nothing to give back; the records stay."""

    def _stands(self, run: RunKey, fence: int, now: float) -> bool:
        row = self._row(run, now)
        return row is not None and row.record.state is State.RUNNING and row.record.fence == fence

    def _row(self, run: RunKey, now: float) -> _Row | None:
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
