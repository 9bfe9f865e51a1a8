"""The records of runs in Redis: a hash each, found by indexes.

A page of a listing begins behind a score and a member, not at a rank: runs move in the index while
a listing is read, and one that moves must not hide another.
"""

from __future__ import annotations

from collections.abc import Collection

from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Flushed, Found, Listed, Place, Swapped, next_version
from celery_graceful.stores.codec import Unreadable, record_of, request_of, utf8
from celery_graceful.stores.paging import AT_ONCE, Entry, Page, collect
from celery_graceful.stores.redis import scripts
from celery_graceful.stores.redis.calls import RedisCalls, milliseconds, seconds
from celery_graceful.stores.redis.encoding import fields_of, member_of, run_named, run_of, shown


class RedisRuns(RedisCalls):
    """What a store does for the records of runs."""

    def load(self, run: RunKey) -> Found:
        key = self._keys.run_prefix + member_of(run)
        stamp, exists, fields = self._call(scripts.LOAD, key, 1, key)
        return Found(self._record(key, exists, fields), float(stamp))

    def swap(
        self,
        run: RunKey,
        expected: int,
        record: Record,
        *,
        due_in: float | None = None,
        keep: float | None = None,
    ) -> Swapped:
        keys, member = self._keys, member_of(run)
        key, version = keys.run_prefix + member, next_version(expected, record)
        answer = self._call(
            scripts.SWAP,
            key,
            5,
            key,
            keys.live,
            keys.ended,
            keys.ids,
            keys.begun,
            b"%d" % expected,
            b"%d" % version,
            member,
            b"" if due_in is None else seconds(due_in),
            b"" if keep is None else milliseconds(keep),
            b"%r" % record.started_at,
            *fields_of(record),
        )
        if isinstance(answer, bytes):
            return Swapped(True, float(answer), version)
        stamp, *there = answer
        return Swapped(False, float(stamp), record=self._record(key, *there))

    def checkpoint(
        self, run: RunKey, fence: int, checkpoint: str, steps: int, *, due_in: float
    ) -> Flushed:
        keys = self._keys
        member = member_of(run)
        key = keys.run_prefix + member
        answer, *rest = self._call(
            scripts.CHECKPOINT,
            key,
            2,
            key,
            keys.live,
            b"%d" % fence,
            utf8(checkpoint),
            b"%d" % steps,
            seconds(due_in),
            member,
        )
        if answer in (0, 3):
            return Flushed(False, gone=answer == 3)
        if answer != 1:
            raise self._corrupt(key, "it lacks its state, fence or version")
        version, requested = rest
        try:
            return Flushed(True, version, request_of(requested))
        except Unreadable as exc:
            raise self._corrupt(key, exc) from exc

    def renew(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        members = [member_of(run) for run in runs]
        for first in range(0, len(members), AT_ONCE):
            self._renew(owner, members[first : first + AT_ONCE], due_in)

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        return [(key, record) for key, record, _ in self._list(b"due", self._keys.live, limit)]

    def live(self, limit: int, after: Place | None = None) -> list[Listed]:
        return self._list(b"up", self._keys.begun, limit, after)

    def ended(self, limit: int, after: Place | None = None) -> list[Listed]:
        return self._list(b"down", self._keys.ended, limit, after)

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

    def _named(self, name: bytes) -> RunKey | None:
        try:
            return run_named(name)
        except Unreadable as exc:
            self._skipped.warn(shown(self._keys.ids), exc)
            return None

    def _list(
        self, kind: bytes, index: bytes, limit: int, place: Place | None = None
    ) -> list[Listed]:
        def fetch(after: tuple[bytes, bytes] | None, count: int) -> Page:
            given = (kind, b"%d" % count, *(after or (b"", b"")))
            score, member, *found = self._call(scripts.LIST, index, 1, index, *given)
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

    def _renew(self, owner: str, members: list[bytes], due_in: float) -> None:
        live = self._keys.live
        keys = [self._keys.run_prefix + member for member in members]
        given = (live, *keys, utf8(owner), seconds(due_in), *members)
        for position in self._call(scripts.RENEW, live, len(keys) + 1, *given):
            self._skipped.warn(shown(keys[position]), "it is no record of a run")

    def _record(self, key: bytes, exists: int, fields: list[bytes | None]) -> Record | None:
        if not exists:
            return None
        try:
            return record_of(fields)
        except Unreadable as exc:
            raise self._corrupt(key, exc) from exc
