"""Items put aside, in Redis: a hash for each run that has any, by ordinal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from celery_graceful.model.record import RunKey
from celery_graceful.stores.codec import text, utf8
from celery_graceful.stores.redis_keys import Keys, member_of
from celery_graceful.stores.redis_scripts import Script

__all__ = ["RedisAside"]

# KEYS: run, aside. ARGV: fence, ordinal, entry, keep in ms. Answers 1, or 0 when refused.
_PUT = Script(
    """
local r = redis.call('HMGET', KEYS[1], 's', 'f')
if r[1] ~= 'running' or r[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
"""
)

# KEYS: aside. ARGV: first, limit. Answers ordinals and entries by turns.
_LIST = Script(
    """
local ordinals = {}
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  local ordinal = tonumber(name)
  if ordinal and ordinal >= tonumber(ARGV[1]) then table.insert(ordinals, ordinal) end
end
table.sort(ordinals)
local out = {}
for i = 1, math.min(#ordinals, tonumber(ARGV[2])) do
  local name = string.format('%.0f', ordinals[i])
  local entry = redis.call('HGET', KEYS[1], name)
  if entry then
    table.insert(out, name)
    table.insert(out, entry)
  end
end
return out
"""
)

# KEYS: run, aside. ARGV: fence or '', then ordinals.
_DROP = Script(
    """
if ARGV[1] ~= '' then
  local r = redis.call('HMGET', KEYS[1], 's', 'f')
  if r[1] ~= 'running' or r[2] ~= ARGV[1] then return 0 end
end
return redis.call('HDEL', KEYS[2], unpack(ARGV, 2))
"""
)

# KEYS: aside. ARGV: keep in ms.
_KEEP = Script("return redis.call('PEXPIRE', KEYS[1], ARGV[1])")

_DROPPED_AT_ONCE = 1000


class RedisAside:
    """What a store does for items put aside.

    Args:
        call: Runs a script: the script, the key it is about, how many keys, keys and arguments.
        keys: The names of the namespace.
    """

    def __init__(self, call: Callable[..., Any], keys: Keys) -> None:
        self._call = call
        self._keys = keys

    def put(self, run: RunKey, fence: int, ordinal: int, entry: str, keep: float) -> bool:
        """Keep an entry while the fence stands; returns whether it stood."""
        about = self._aside(run)
        key = self._keys.run_prefix + member_of(run)
        given = (b"%d" % fence, b"%d" % ordinal, utf8(entry), b"%d" % (keep * 1000))
        return bool(self._call(_PUT, about, 2, key, about, *given))

    def listing(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        """Entries by their ordinals."""
        about = self._aside(run)
        found = self._call(_LIST, about, 1, about, b"%d" % first, b"%d" % max(limit, 0))
        return [(int(found[i]), text(found[i + 1])) for i in range(0, len(found), 2)]

    def drop(self, run: RunKey, ordinals: Collection[int], fence: int | None) -> None:
        """Forget entries, if the fence (``None``: whatever it is) stands."""
        about, gone = self._aside(run), [b"%d" % ordinal for ordinal in ordinals]
        key = self._keys.run_prefix + member_of(run)
        guard = b"" if fence is None else b"%d" % fence
        for first in range(0, len(gone), _DROPPED_AT_ONCE):
            some = gone[first : first + _DROPPED_AT_ONCE]
            self._call(_DROP, about, 2, key, about, guard, *some)

    def keep(self, run: RunKey, keep: float) -> None:
        """Keep the entries for so many seconds more."""
        about = self._aside(run)
        self._call(_KEEP, about, 1, about, b"%d" % (keep * 1000))

    def _aside(self, run: RunKey) -> bytes:
        return self._keys.aside_prefix + member_of(run)
