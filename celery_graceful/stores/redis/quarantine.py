"""Quarantined items in Redis, in pages, so that no call touches more than a few hundred of them.

An index (a sorted set) holds the ordinal at which each page begins; the first begins at ``-inf``.
A page is a hash of up to ``_PAGE`` entries, by ordinal, with a lifetime of its own: a million
entries expire page by page. Only the server's scripts know of pages; each visits a bounded number
of them and answers where to continue.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from celery_graceful.model.run.record import RunKey
from celery_graceful.stores.codec import readable, utf8
from celery_graceful.stores.redis.calls import RedisCalls, milliseconds
from celery_graceful.stores.redis.encoding import member_of
from celery_graceful.stores.redis.scripts import Script

#: Entries in a page.
_PAGE = 500
#: Entries that one call answers, takes or forgets by their ordinals.
_ENTRIES_AT_ONCE = 100
_ORDINALS_AT_ONCE = 250
#: Pages that one call visits.
_PAGES_AT_ONCE = 20
_PROLONGED_AT_ONCE = 500

# ARGV of all scripts: fence or '', prefix of pages, member, then what each needs.
# KEYS: run, index.
_HEAD = """
local index = KEYS[2]
local function page(start) return ARGV[2] .. start .. ':' .. ARGV[3] end
local function page_of(ordinal)
  return redis.call('ZREVRANGEBYSCORE', index, ordinal, '-inf', 'LIMIT', 0, 1)[1]
end
local function written(ordinal) return string.format('%.0f', ordinal) end
local function number(name)  -- nil for what this store has not written
  local ordinal = tonumber(name)
  return ordinal and #name <= 17 and written(ordinal) == name and ordinal or nil
end
"""

_GUARD = """
if ARGV[1] ~= '' then
  local r = redis.call('HMGET', KEYS[1], 's', 'f')
  if r[1] ~= 'running' or r[2] ~= ARGV[1] then return false end
end
"""

# ARGV: ordinal, entry, keep in ms. Answers 1, or nil when refused.
_PUT = Script(
    _HEAD
    + _GUARD
    + f"""
local ordinal = tonumber(ARGV[4])
local start = page_of(ARGV[4]) or '-inf'
local key = page(start)
local full = redis.call('HLEN', key) >= {_PAGE} and start ~= ARGV[4]
if full and redis.call('HEXISTS', key, ARGV[4]) == 0 then
  -- A page of its own begins here. Ordinals rise as a rule, so that there is nothing to move.
  local before, was = key, start
  start = ARGV[4]
  key = page(start)
  for _, name in ipairs(redis.call('HKEYS', before)) do
    if (number(name) or ordinal) > ordinal then
      redis.call('HSET', key, name, redis.call('HGET', before, name))
      redis.call('HDEL', before, name)
    end
  end
  if redis.call('EXISTS', before) == 0 then redis.call('ZREM', index, was) end
end
redis.call('ZADD', index, start, start)
redis.call('HSET', key, ARGV[4], ARGV[5])
for _, at in ipairs({{index, key}}) do
  if redis.call('PTTL', at) < tonumber(ARGV[6]) then redis.call('PEXPIRE', at, ARGV[6]) end
end
return 1
"""
)

# ARGV: first, limit, pages. Answers {where to continue or '', ordinal, entry, ordinal, entry …}.
_LIST = Script(
    _HEAD
    + """
local first, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local out = {''}
local starts = redis.call('ZRANGEBYSCORE', index, page_of(ARGV[4]) or '-inf', '+inf',
  'LIMIT', 0, ARGV[6] + 1)
for i, start in ipairs(starts) do
  if i > tonumber(ARGV[6]) then out[1] = start return out end
  local ordinals = {}
  for _, name in ipairs(redis.call('HKEYS', page(start))) do
    local ordinal = number(name)
    if ordinal and ordinal >= first then table.insert(ordinals, ordinal) end
  end
  table.sort(ordinals)
  for _, ordinal in ipairs(ordinals) do
    if #out > 2 * limit then return out end
    table.insert(out, written(ordinal))
    table.insert(out, redis.call('HGET', page(start), written(ordinal)))
  end
end
return out
"""
)

# ARGV: first, limit, pages. Answers {how many, where to continue or ''}.
_COUNT = Script(
    _HEAD
    + """
local first, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local count = 0
local starts = redis.call('ZRANGEBYSCORE', index, page_of(ARGV[4]) or '-inf', '+inf',
  'LIMIT', 0, ARGV[6] + 1)
for i, start in ipairs(starts) do
  if count >= limit then break end
  if i > tonumber(ARGV[6]) then return {count, start} end
  if tonumber(start) >= first then
    count = count + redis.call('HLEN', page(start))
  else
    for _, name in ipairs(redis.call('HKEYS', page(start))) do
      if (number(name) or first - 1) >= first then count = count + 1 end
    end
  end
end
return {count, ''}
"""
)

# ARGV: ordinals.
_DROP = Script(
    _HEAD
    + """
for i = 4, #ARGV do
  local start = page_of(ARGV[i])
  if start and redis.call('HDEL', page(start), ARGV[i]) == 1
      and redis.call('EXISTS', page(start)) == 0 then
    redis.call('ZREM', index, start)
  end
end
return 1
"""
)

# ARGV: first, last, pages. Answers where to continue, '' at the end, nil when refused.
_DROP_RANGE = Script(
    _HEAD
    + _GUARD
    + """
local first, last = tonumber(ARGV[4]), tonumber(ARGV[5])
local starts = redis.call('ZRANGEBYSCORE', index, page_of(ARGV[4]) or '-inf', ARGV[5],
  'LIMIT', 0, ARGV[6] + 1)
for i, start in ipairs(starts) do
  if i > tonumber(ARGV[6]) then return start end
  local key, gone = page(start), {}
  for _, name in ipairs(redis.call('HKEYS', key)) do
    local ordinal = number(name)
    if ordinal and ordinal >= first and ordinal <= last then table.insert(gone, name) end
  end
  if gone[1] then redis.call('HDEL', key, unpack(gone)) end
  if redis.call('EXISTS', key) == 0 then redis.call('ZREM', index, start) end
end
return ''
"""
)

# ARGV: keep in ms, the page to begin with, pages. Answers where to continue, '' at the end.
_KEEP = Script(
    _HEAD
    + """
redis.call('PEXPIRE', index, ARGV[4])
local starts = redis.call('ZRANGEBYSCORE', index, ARGV[5], '+inf', 'LIMIT', 0, ARGV[6] + 1)
for i, start in ipairs(starts) do
  if i > tonumber(ARGV[6]) then return start end
  redis.call('PEXPIRE', page(start), ARGV[4])
end
return ''
"""
)


class RedisQuarantine(RedisCalls):
    """What a store does for quarantined items."""

    def quarantine(self, run: RunKey, fence: int, ordinal: int, entry: str, *, keep: float) -> bool:
        given = (b"%d" % ordinal, utf8(entry), milliseconds(keep))
        return self._on_items(_PUT, run, b"%d" % fence, *given) is not None

    def quarantined(self, run: RunKey, first: int, limit: int) -> list[tuple[int, str]]:
        entries: list[tuple[int, str]] = []
        at = b"%d" % first
        while len(entries) < limit:
            wanted = min(limit - len(entries), _ENTRIES_AT_ONCE)
            given = (at, b"%d" % wanted, b"%d" % _PAGES_AT_ONCE)
            onward, *found = self._on_items(_LIST, run, b"", *given)
            # Whoever reads an entry says which of them is not as it was written.
            entries += [(int(found[i]), readable(found[i + 1])) for i in range(0, len(found), 2)]
            if len(found) == 2 * wanted:
                onward = b"%d" % (entries[-1][0] + 1)
            if not onward:
                break
            at = onward
        return entries

    def count_quarantined(self, run: RunKey, first: int, limit: int) -> int:
        count, at = 0, b"%d" % first
        while count < limit and at:
            left = b"%d" % (limit - count)
            found, at = self._on_items(_COUNT, run, b"", at, left, b"%d" % _PAGES_AT_ONCE)
            count += found
        return max(min(count, limit), 0)

    def drop_quarantined(self, run: RunKey, ordinals: Collection[int]) -> None:
        gone = [b"%d" % ordinal for ordinal in ordinals]
        for first in range(0, len(gone), _ORDINALS_AT_ONCE):
            self._on_items(_DROP, run, b"", *gone[first : first + _ORDINALS_AT_ONCE])

    def drop_quarantined_range(
        self, run: RunKey, first: int, last: int | None = None, *, fence: int | None = None
    ) -> None:
        guard = b"" if fence is None else b"%d" % fence
        until, at = b"+inf" if last is None else b"%d" % last, b"%d" % first
        while at:
            at = self._on_items(_DROP_RANGE, run, guard, at, until, b"%d" % _PAGES_AT_ONCE)

    def expire_quarantined(self, run: RunKey, *, keep: float) -> None:
        at = b"-inf"
        while at:
            given = (milliseconds(keep), at, b"%d" % _PROLONGED_AT_ONCE)
            at = self._on_items(_KEEP, run, b"", *given)

    def _on_items(self, script: Script, run: RunKey, fence: bytes, *args: bytes) -> Any:
        member, keys = member_of(run), self._keys
        about = keys.quarantine_prefix + member
        prefix = keys.quarantine_page_prefix
        return self._call(
            script, about, 2, keys.run_prefix + member, about, fence, prefix, member, *args
        )
