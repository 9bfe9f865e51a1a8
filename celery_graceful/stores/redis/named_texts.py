"""Named texts in Redis: for each kind a hash, and an index by the time at which each is forgotten.

The hash has, by name: version, time of writing, time of expiry ("-": none) and text, with a space
between. None of these keys expires as a whole: a server that is short of memory evicts those first,
and nobody waits for a worker without a report.
"""

from __future__ import annotations

from typing import Any

from celery_graceful.errors import CorruptRecord
from celery_graceful.stores.base import Text
from celery_graceful.stores.codec import readable, text, utf8, whole
from celery_graceful.stores.redis.calls import RedisCalls, milliseconds
from celery_graceful.stores.redis.encoding import shown
from celery_graceful.stores.redis.scripts import NOW, Script
from celery_graceful.stores.unread import unread_text
from celery_graceful.text import strict_json

#: Texts that the server is asked for in one go.
_AT_ONCE = 100

# KEYS of all scripts: hash, index. ARGV: name. Answers {stamp, what is written}.
_READ = Script(
    NOW
    + """
return {stamp, redis.call('HGET', KEYS[1], ARGV[1])}
"""
)

# ARGV: name, text, version, expected or '', keep in ms or ''. Answers the stamp, nil when refused.
# A server without memory refuses a script at its first write unless that is a removal: so a mode
# can be written, or taken back, while its cause is being fixed.
_WRITE = Script(
    NOW
    + f"""
if ARGV[4] ~= '' then
  local there, v, till = redis.call('HGET', KEYS[1], ARGV[1]), '0', nil
  if there then v, till = string.match(there, '^(%d+) %S+ (%S+) ') end
  if till and (tonumber(till) or now + 1) <= now then v = '0' end
  if v ~= ARGV[4] then return false end
end
local until_ = ARGV[5] == '' and '-' or string.format('%.6f', now + ARGV[5] / 1000)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. stamp .. ' ' .. until_ .. ' ' .. ARGV[2])
if until_ ~= '-' then redis.call('ZADD', KEYS[2], until_, ARGV[1]) end
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', stamp, 'LIMIT', 0, {_AT_ONCE})
if gone[1] then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
return stamp
"""
)

# ARGV: name.
_DELETE = Script(
    """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
)

# ARGV: where to continue ('0': from the beginning), how many.
# Answers the stamp, where to continue ('0' at the end), {name, text, name, text …}.
# A scan misses none that is there all the time.
_LIST = Script(
    NOW
    + """
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', stamp, 'LIMIT', 0, ARGV[2])
if gone[1] then
  redis.call('ZREM', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[1], unpack(gone))
end
local scanned = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
return {stamp, scanned[1], scanned[2]}
"""
)


class RedisTexts(RedisCalls):
    """What a store does for named texts."""

    def read_text(self, kind: str, name: str) -> Text:
        stamp, written = self._on_texts(_READ, kind, utf8(name))
        try:
            return _text(name, written, float(stamp))
        except ValueError as exc:
            raise unread_text(f"{name!r} of {self._shown(kind)}", exc) from exc

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
        version = version or (expected or 0) + 1
        stamp = self._on_texts(
            _WRITE,
            kind,
            utf8(name),
            utf8(text),
            b"%d" % version,
            b"" if expected is None else b"%d" % expected,
            b"" if keep is None else milliseconds(keep),
        )
        return None if stamp is None else Text(name, text, version, float(stamp), float(stamp))

    def delete_text(self, kind: str, name: str) -> None:
        self._on_texts(_DELETE, kind, utf8(name))

    def texts(self, kind: str) -> list[Text]:
        read: dict[bytes, Text] = {}  # a scan may answer one twice
        at = b"0"
        while True:
            stamp, at, found = self._on_texts(_LIST, kind, at, b"%d" % _AT_ONCE)
            for name, written in zip(found[::2], found[1::2], strict=True):
                try:
                    read[name] = _text(text(name), written, float(stamp))
                except ValueError as exc:
                    # Its writer, if it lives, soon writes the next one.
                    self._skipped.warn_text(f"{shown(name)!r} of {self._shown(kind)}", exc)
            if at == b"0":
                return sorted(it for it in read.values() if it.version)

    def _on_texts(self, script: Script, kind: str, *args: bytes) -> Any:
        of, until = self._keys.texts(kind)
        try:
            return self._call(script, of, 2, of, until, *args)
        except CorruptRecord as exc:
            raise unread_text(self._shown(kind), exc.__cause__) from exc

    def _shown(self, kind: str) -> str:
        return f"{shown(self._keys.texts(kind)[0])} in {self._address}"


def _text(name: str, written: bytes | None, now: float) -> Text:
    """The text as it stands in the hash; raises :exc:`ValueError`."""
    if written is None:
        return Text(name, "", 0, 0.0, now)
    version, at, until, content = written.split(b" ", 3)
    number = strict_json.whole(whole(version), "its version")
    written_at = strict_json.number(float(at), "when it was written")
    if until != b"-" and strict_json.number(float(until), "when it expires") <= now:
        return Text(name, "", 0, 0.0, now)
    return Text(name, readable(content), number, written_at, now)
