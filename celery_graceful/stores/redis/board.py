"""The notice board, in Redis: a hash for each notice, one hash and one index for all reports.

The hash of a notice holds: ``v`` version, ``t`` text. The hash of reports has, by worker, the time
of writing, a space, and the report; the index has the time at which each is forgotten. None of
these keys expires as a whole: a server that is short of memory evicts those first, and a worker
whose report is gone would not be waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery_graceful.errors import StoreError
from celery_graceful.stores.board import Attendance, Notice
from celery_graceful.stores.codec import text, utf8, whole
from celery_graceful.stores.redis.keys import Keys
from celery_graceful.stores.redis.scripts import NOW, Script
from celery_graceful.text import strict_json

logger = logging.getLogger("celery_graceful.stores")

# KEYS: notice. Answers {stamp, type of the key}, and if that is a hash its version and text too.
_READ = Script(
    NOW
    + """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' then return {stamp, kind} end
return {stamp, kind, unpack(redis.call('HMGET', KEYS[1], 'v', 't'))}
"""
)

# KEYS: notice. ARGV: expected, next version, text. Answers the stamp, or nil when refused.
# A server without memory refuses a script at its first write unless that is a removal: so a mode
# can be posted, or taken back, while its cause is being fixed.
_POST = Script(
    NOW
    + """
local kind = redis.call('TYPE', KEYS[1]).ok
local v = (kind == 'hash' and redis.call('HGET', KEYS[1], 'v')) or (kind == 'none' and '0')
if v ~= ARGV[1] then return false end
redis.call('HDEL', KEYS[1], 't')
redis.call('HSET', KEYS[1], 'v', ARGV[2], 't', ARGV[3])
return stamp
"""
)

#: A step of the sweep; each report written and each page read takes one.
_FORGET = """
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', stamp, 'LIMIT', 0, 100)
if gone[1] then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
"""

#: Reports that the server is asked for in one go.
_REPORTS_AT_ONCE = 100

# KEYS: reports, index, notice. ARGV: worker, report, keep in ms, known version.
# Answers as above, without the text when the version is known.
# The removal comes first for the same reason as above.
_ATTEND = Script(
    NOW
    + """
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], stamp .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.6f', now + ARGV[3] / 1000), ARGV[1])
"""
    + _FORGET
    + """
local kind = redis.call('TYPE', KEYS[3]).ok
if kind ~= 'hash' then return {stamp, kind} end
local v = redis.call('HGET', KEYS[3], 'v')
return {stamp, kind, v, (v == ARGV[4] and '') or redis.call('HGET', KEYS[3], 't')}
"""
)

# KEYS: reports, index. ARGV: where to continue ('0': from the beginning), how many.
# Answers the stamp, where to continue ('0' at the end), then workers and reports by turns.
# By ZSCAN, which misses none that is there all the time; in the order of the index they move.
_ATTENDANCE = Script(
    NOW
    + _FORGET
    + """
local scanned = redis.call('ZSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local out, found = {stamp, scanned[1]}, scanned[2]
for i = 1, #found, 2 do
  if tonumber(found[i + 1]) > now then
    table.insert(out, found[i])
    table.insert(out, redis.call('HGET', KEYS[1], found[i]))
  end
end
return out
"""
)

# KEYS: reports, index. ARGV: worker.
_LEAVE = Script(
    """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
)


class RedisBoard:
    """What a store does for its board.

    Args:
        call: Runs a script: the script, the key it is about, how many keys, keys and arguments.
        keys: The names of the namespace.
        unread: Makes the error for a key that does not hold what is written here, and why.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        keys: Keys,
        unread: Callable[[bytes, object], StoreError],
    ) -> None:
        self._call = call
        self._keys = keys
        self._unread = unread
        #: Workers whose unreadable reports the log has told of.
        self._told: set[bytes] = set()

    def read_notice(self, name: str) -> Notice:
        """The notice of this name."""
        key = self._key(name)
        return self._notice(key, self._call(_READ, key, 1, key))

    def post_notice(
        self, name: str, expected: int, text: str, *, version: int | None = None
    ) -> Notice | None:
        """Replace a notice of the version ``expected``."""
        key, version = self._key(name), version or expected + 1
        stamp = self._call(_POST, key, 1, key, b"%d" % expected, b"%d" % version, utf8(text))
        return None if stamp is None else Notice(version, text, float(stamp))

    def attend(self, worker: str, report: str, *, keep: float, notice: str, known: int) -> Notice:
        """Write a report, then read a notice."""
        reports, index, key = self._keys.reports, self._keys.attending, self._key(notice)
        given = utf8(worker), utf8(report), b"%d" % (keep * 1000), b"%d" % known
        return self._notice(key, self._call(_ATTEND, reports, 3, reports, index, key, *given))

    def attendance(self) -> list[Attendance]:
        """The reports that can be read, by the name of the worker.

        A live worker soon writes the next one, and answers over the broker.
        """
        reports, index = self._keys.reports, self._keys.attending
        read: dict[bytes, Attendance | None] = {}  # a scan may answer one twice
        at, wanted = b"0", b"%d" % _REPORTS_AT_ONCE
        while True:
            stamp, at, *found = self._call(_ATTENDANCE, reports, 2, reports, index, at, wanted)
            for worker, report in zip(found[::2], found[1::2], strict=True):
                read[worker] = self._attendance(worker, report, float(stamp))
            if at == b"0":
                return sorted(it for it in read.values() if it is not None)

    def leave(self, worker: str) -> None:
        """Forget a report."""
        reports, index = self._keys.reports, self._keys.attending
        self._call(_LEAVE, reports, 2, reports, index, utf8(worker))

    def _key(self, name: str) -> bytes:
        return self._keys.notice_prefix + utf8(name)

    def _notice(self, key: bytes, answer: list[Any]) -> Notice:
        stamp, kind, *content = answer
        if kind == b"none":
            return Notice(0, "", float(stamp))
        if None in content or not content:
            raise self._unread(key, "it lacks its version or its text")
        version, posted = content
        try:
            return Notice(
                strict_json.whole(whole(version), "its version"), _text(posted), float(stamp)
            )
        except ValueError as exc:
            raise self._unread(key, exc) from exc

    def _attendance(self, worker: bytes, written: bytes | None, now: float) -> Attendance | None:
        stamp, _, report = (written or b"").partition(b" ")
        try:
            written_at = strict_json.number(float(stamp), "when it was written")
            found = Attendance(text(worker), _text(report), max(0.0, now - written_at))
        except ValueError as exc:
            self._tell(worker, "it is not there" if written is None else str(exc))
            return None
        self._told.discard(worker)
        return found

    def _tell(self, worker: bytes, why: str) -> None:
        if worker not in self._told:
            self._told.add(worker)
            logger.error(
                "The report of %r in %r cannot be read and is passed over: %s",
                worker,
                self._keys.reports,
                why,
            )


def _text(written: bytes) -> str:
    """One wrong byte, in a reason say, must not hide all the rest from everybody."""
    try:
        return text(written)
    except UnicodeDecodeError:
        return written.decode("utf-8", "replace")
