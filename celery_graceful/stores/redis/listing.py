"""Listings of runs in Redis: read from an index, page by page.

A page begins behind a score and a member, not at a rank: runs move in the index while a listing is
read, and one that moves must not hide another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.codec import Unreadable, utf8
from celery_graceful.stores.listing import AT_ONCE, Entry, Page, Skipped, collect, joined
from celery_graceful.stores.redis import scripts
from celery_graceful.stores.redis.fields import record_of
from celery_graceful.stores.redis.keys import Keys, run_named, run_of, shown


class RedisListing:
    """What a store answers about many runs at once.

    Args:
        call: Runs a script: the script, the key it is about, how many keys, keys and arguments.
        keys: The names of the namespace.
        skipped: Warns of records that cannot be read.
    """

    def __init__(self, call: Callable[..., Any], keys: Keys, skipped: Skipped) -> None:
        self._call = call
        self._keys = keys
        self._skipped = skipped

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        """Runs whose ``due_at`` has passed."""
        return self._list(b"due", self._keys.live, limit)

    def runs(self, limit: int) -> list[tuple[RunKey, Record]]:
        """Runs that have not ended, then those that have."""
        live = self._list(b"up", self._keys.live, limit)
        return joined(limit, live, lambda left: self._list(b"down", self._keys.ended, left))

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        """Runs whose id begins with ``prefix``."""
        found: list[RunKey] = []
        wanted = utf8(prefix)
        first, last = b"[" + wanted, b"[" + wanted + b"\xff"  # no text has this byte
        while len(found) < limit:
            count = min(limit - len(found), AT_ONCE)
            looked, after, *names = self._call(
                scripts.NAMED, self._keys.ids, 1, self._keys.ids,
                *(first, last, b"%d" % count),
            )  # fmt: skip
            found += [run for run in map(self._named, names) if run is not None]
            if looked < count:
                break
            first = b"(" + after
        return found

    def _named(self, name: bytes) -> RunKey | None:
        try:
            return run_named(name)
        except Unreadable as exc:
            self._skipped.warn(shown(self._keys.ids), exc)
            return None

    def _list(self, kind: bytes, index: bytes, limit: int) -> list[tuple[RunKey, Record]]:
        def fetch(after: tuple[bytes, bytes] | None, count: int) -> Page:
            given = (kind, b"%d" % count, *(after or (b"", b"")))
            score, member, *found = self._call(scripts.LIST, index, 1, index, *given)
            return Page([self._entry(*each) for each in found], (score, member) if score else None)

        return collect(limit, fetch)

    def _entry(self, member: bytes, fields: list[bytes | None] | None = None) -> Entry:
        try:
            if fields is None:
                raise Unreadable("it is no hash")
            return run_of(member), record_of(fields)
        except Unreadable as exc:
            self._skipped.warn(shown(self._keys.run_prefix + member), exc)
            return None
