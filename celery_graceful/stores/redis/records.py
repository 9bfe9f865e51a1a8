"""The records of runs in Redis: a hash each."""

from __future__ import annotations

from collections.abc import Collection

from celery_graceful.model.run.record import Outcome, Record, RunKey, State
from celery_graceful.stores.base import Flushed, Found, Swapped, next_version
from celery_graceful.stores.codec import Unreadable, record_of, request_of, utf8
from celery_graceful.stores.paging import AT_ONCE
from celery_graceful.stores.redis import scripts
from celery_graceful.stores.redis.calls import RedisCalls, milliseconds, seconds
from celery_graceful.stores.redis.encoding import fields_of, member_of, shown


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
            _tab_of(record),
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


def _tab_of(record: Record) -> bytes:
    """The index of what is rare that a record belongs in; empty: none."""
    if record.state is State.PAUSED:
        return b"paused"
    return b"failed" if record.outcome is Outcome.FAILED else b""
