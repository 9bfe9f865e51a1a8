"""Listings of runs in Redis, by indexes.

A page of a listing begins behind a score and a member, not at a rank: runs move in the index while
a listing is read, and one that moves must not hide another.
"""

from __future__ import annotations

from typing import Final

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Listed, Place
from celery_graceful.stores.codec import Unreadable, record_of, utf8
from celery_graceful.stores.paging import AT_ONCE, Entry, Page, collect
from celery_graceful.stores.redis import list_scripts as scripts
from celery_graceful.stores.redis.calls import RedisCalls
from celery_graceful.stores.redis.encoding import (
    member_of,
    run_named,
    run_of,
    shown,
    task_of_member,
)
from celery_graceful.stores.tabs import ANY, LOOKS, Counts, Only, Part, Tab

#: Records that one script looks at when few of them are to be answered.
_LOOKS_AT_ONCE: Final = 1000
#: Runs that a count looks at for the indexes of what is rare: in a call, and until the first one
#: has looked at all.
_AUDITED, _AUDITED_FIRST = 100, 500


class RedisListing(RedisCalls):
    """What a store answers about many runs at once."""

    #: Where the next audit begins.
    _audited = b"-"
    #: Whether the indexes of what is rare have all that was written before there were any.
    _walked = False

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        return [(key, record) for key, record, _ in self._list(b"due", b"", self._keys.live, limit)]

    def live(self, limit: int, after: Place | None = None) -> list[Listed]:
        return self._list(b"up", b"live", self._keys.begun, limit, after)

    def ended(self, limit: int, after: Place | None = None) -> list[Listed]:
        return self._list(b"down", b"ended", self._keys.ended, limit, after)

    def named(self, prefix: str, limit: int) -> list[RunKey]:
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

    def counts(self) -> Counts:
        """How many runs there are; also looks whether some of them are in the right index."""
        live, paused, failed, ended = self._audit(_AUDITED)
        while not self._walked:
            live, paused, failed, ended = self._audit(_AUDITED_FIRST)
        return Counts(max(0, live - paused), paused, failed, ended)

    def browse(self, tab: Tab, limit: int, after: Place | None = None, only: Only = ANY) -> Part:
        if not self._walked and tab in (Tab.PAUSED, Tab.FAILED):
            self.counts()
        index, kind = self._index(tab)
        behind = None if after is None else (b"%r" % after[0], member_of(after[1]))
        looked_for = () if only == ANY else _looked_for(only)
        rows: list[Listed] = []
        looked, now = 0, 0.0
        while True:
            size = min(max(1, limit - len(rows)), AT_ONCE)
            looks = min(_LOOKS_AT_ONCE, LOOKS - looked) if looked_for else size
            given = (kind, b"%d" % size, *(behind or (b"", b"")), utf8(tab.value))
            stamp, more, score, member, *found = self._call(
                scripts.LIST, index, 1, index, *given, b"%d" % max(1, looks), *looked_for
            )
            rows += [row for row in (self._entry(*each) for each in found) if row is not None]
            now = now or float(stamp)
            looked += more
            if not score:
                return Part(rows, None, now)
            behind, place = (score, member), _place(score, member)
            # A place that nobody can name is read past, whatever it takes.
            if place is not None and (len(rows) >= limit or looked >= LOOKS):
                return Part(rows, place, now)

    def _index(self, tab: Tab) -> tuple[bytes, bytes]:
        keys = self._keys
        return {
            Tab.LIVE: (keys.begun, b"up"),
            Tab.PAUSED: (keys.paused, b"up"),
            Tab.FAILED: (keys.failed, b"down"),
            Tab.ENDED: (keys.ended, b"down"),
        }[tab]

    def _audit(self, most: int) -> tuple[int, int, int, int]:
        keys = self._keys
        walked, self._audited, *counts = self._call(
            scripts.COUNT,
            keys.ids,
            6,
            *(keys.ids, keys.begun, keys.ended, keys.paused, keys.failed, keys.walked),
            *(self._audited, b"%d" % most),
        )
        self._walked = bool(walked)
        live, paused, failed, ended = counts
        return live, paused, failed, ended

    def _named(self, name: bytes) -> RunKey | None:
        try:
            return run_named(name)
        except Unreadable as exc:
            self._skipped.warn(shown(self._keys.ids), exc)
            return None

    def _list(
        self, kind: bytes, tab: bytes, index: bytes, limit: int, place: Place | None = None
    ) -> list[Listed]:
        def fetch(after: tuple[bytes, bytes] | None, count: int) -> Page:
            size = b"%d" % count
            given = (kind, size, *(after or (b"", b"")), tab, size)
            _, _, score, member, *found = self._call(scripts.LIST, index, 1, index, *given)
            return Page([self._entry(*each) for each in found], (score, member) if score else None)

        return collect(limit, fetch, place and (b"%r" % place[0], member_of(place[1])))

    def _entry(
        self, member: bytes, score: bytes, fields: list[bytes | None] | None = None
    ) -> Entry:
        try:
            if fields is None:
                raise Unreadable("it is no hash")
            return Listed(run_of(member), record_of(fields), float(score))
        except Unreadable as exc:
            self._skipped.warn(shown(self._keys.run_prefix + member), exc)
            return None


def _place(score: bytes, member: bytes) -> Place | None:
    try:
        return float(score), run_of(member)
    except Unreadable:
        return None


def _looked_for(only: Only) -> tuple[bytes, ...]:
    """As the script takes it."""
    states = ",".join(sorted(state.value for state in only.states))
    text = only.text.lower()
    return (
        task_of_member(only.task) if only.task else b"",
        f",{states},".encode() if states else b"",
        b"" if only.outcome is None else b'"outcome":"%b"' % only.outcome.value.encode(),
        utf8(only.worker),
        only.extra.encode(),
        text.encode() if text.isascii() else b"",
        b"%r" % only.since if only.since else b"",
        b"1" if only.enveloped else b"",
    )
