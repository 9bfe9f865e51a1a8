"""The store in Redis or Valkey."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from typing import Any

from redis.exceptions import NoPermissionError, ReadOnlyError

from celery_graceful.errors import CorruptRecord
from celery_graceful.model.run.record import Record, RunKey
from celery_graceful.stores.base import Durability, Flushed, Found, Swapped, next_version
from celery_graceful.stores.boarded import Boarded
from celery_graceful.stores.codec import Unreadable, utf8
from celery_graceful.stores.listing import AT_ONCE, Skipped
from celery_graceful.stores.origin import SETTING
from celery_graceful.stores.redis import scripts
from celery_graceful.stores.redis.board import RedisBoard
from celery_graceful.stores.redis.errors import TROUBLE, Translator
from celery_graceful.stores.redis.fields import fields_of, record_of, request_of
from celery_graceful.stores.redis.keys import Keys, member_of, shown
from celery_graceful.stores.redis.listing import RedisListing
from celery_graceful.stores.redis.quarantine import RedisQuarantine
from celery_graceful.stores.redis.script_calls import ScriptCaller
from celery_graceful.stores.redis.server_check import durability, judge
from celery_graceful.stores.unread import unread, unread_board

logger = logging.getLogger("celery_graceful.stores")


class RedisStore(Boarded):
    """Records as hashes in Redis or Valkey (6 or newer): one server, Sentinel's, or a cluster.

    Every operation is one Lua script, so one round trip, and atomic. A script touches the run's
    hash and the indexes of its namespace: all of them have one hash tag, so a cluster keeps them
    on one node.

    Args:
        connect: Makes connections that neither decode replies nor repeat requests.
        namespace: The hash tag of every key.
        address: The store's URL without its password, for messages.
        setting: The setting that the address was read from.
        prefix: What every key begins with.
        shared_between_hosts: Whether other hosts can reach the server.
    """

    shared_between_processes = True

    def __init__(
        self,
        connect: Callable[[], ScriptCaller],
        namespace: str,
        *,
        address: str,
        setting: str = SETTING,
        prefix: str = "",
        shared_between_hosts: bool = True,
    ) -> None:
        self.shared_between_hosts = shared_between_hosts
        self._connect = connect
        self._line = connect()
        self._pid = os.getpid()
        # Connections of parents: kept, so that nothing of theirs is closed here.
        self._abandoned: list[ScriptCaller] = []
        self._address = address
        self._errors = Translator(address, setting, prefix)
        self._keys = Keys(namespace, prefix)
        self._quarantine = RedisQuarantine(self._call, self._keys)
        self._board = RedisBoard(self._call, self._keys, self._unread_board)
        self._skipped = Skipped()
        self._listing = RedisListing(self._call, self._keys, self._skipped)

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
            4,
            key,
            keys.live,
            keys.ended,
            keys.ids,
            b"%d" % expected,
            b"%d" % version,
            member,
            b"" if due_in is None else _seconds(due_in),
            b"" if keep is None else b"%d" % (keep * 1000),
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
            _seconds(due_in),
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

    def beat(self, owner: str, runs: Collection[RunKey], *, due_in: float) -> None:
        members = [member_of(run) for run in runs]
        for first in range(0, len(members), AT_ONCE):
            self._beat(owner, members[first : first + AT_ONCE], due_in)

    def due(self, limit: int) -> list[tuple[RunKey, Record]]:
        return self._listing.due(limit)

    def runs(self, limit: int) -> list[tuple[RunKey, Record]]:
        return self._listing.runs(limit)

    def named(self, prefix: str, limit: int) -> list[RunKey]:
        return self._listing.named(prefix, limit)

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        return self._quarantine.put(run, fence, ordinal, entry, keep)

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        return self._quarantine.listing(run, first, limit)

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        return self._quarantine.count(run, first, limit)

    def drop_quarantined(
        self, run: RunKey, ordinals: Collection[int], *, fence: int | None = None
    ) -> None:
        self._quarantine.drop(run, ordinals, fence)

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        self._quarantine.drop_range(run, first, last, fence)

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        self._quarantine.keep(run, keep)

    def check(self) -> None:
        key = self._keys.check
        self._call(scripts.CHECK, key, 2, key, key + b"-index")
        try:
            info: Any = self._own_line().server(key).info()
        except NoPermissionError as exc:
            logger.info("%s does not tell its version (%s)", self._address, exc)
            return
        except TROUBLE as exc:
            raise self._errors(exc, "INFO") from exc
        judge(info, self._address)

    def durability(self) -> Durability:
        """What becomes of the data when memory runs out or the server restarts.

        Many servers do not say: a managed one, or an ACL without CONFIG and INFO.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        try:
            return durability(self._own_line().server(self._keys.check))
        except TROUBLE as exc:
            raise self._errors(exc, "CONFIG GET") from exc

    def close(self) -> None:
        """Give back the connections; the next call opens new ones."""
        self._own_line().close()

    def _own_line(self) -> ScriptCaller:
        if self._pid != os.getpid():
            # Not left to redis-py's pool: it waits for a lock of the parent, which another thread
            # may have held at the fork.
            self._abandoned.append(self._line)
            self._line = self._connect()
            self._pid = os.getpid()
        return self._line

    def _call(self, script: scripts.Script, about: bytes, keys: int, *args: bytes) -> Any:
        line = self._own_line()
        try:
            return line.call(script, keys, args)
        except (*TROUBLE, UnicodeError) as exc:
            if isinstance(exc, ReadOnlyError):
                line.reconnect()
            raise self._errors(exc, shown(about)) from exc

    def _beat(self, owner: str, members: list[bytes], due_in: float) -> None:
        live = self._keys.live
        keys = [self._keys.run_prefix + member for member in members]
        given = (live, *keys, utf8(owner), _seconds(due_in), *members)
        for position in self._call(scripts.BEAT, live, len(keys) + 1, *given):
            self._skipped.warn(shown(keys[position]), "it is no record of a run")

    def _record(self, key: bytes, exists: int, fields: list[bytes | None]) -> Record | None:
        if not exists:
            return None
        try:
            return record_of(fields)
        except Unreadable as exc:
            raise self._corrupt(key, exc) from exc

    def _corrupt(self, key: bytes, why: object) -> CorruptRecord:
        return unread(f"at {shown(key)} in {self._address}", why)

    def _unread_board(self, key: bytes, why: object) -> CorruptRecord:
        return unread_board(f"{shown(key)} in {self._address}", why)


def _seconds(value: float) -> bytes:
    return b"%.6f" % value
