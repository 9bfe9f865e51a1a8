"""The Lua scripts of the Redis store: each operation is one of them, so each is atomic.

The hash of a run holds: ``v`` version, ``s`` state, ``f`` fence, ``o`` owner, ``d`` due_at,
``c`` checkpoint, ``n`` steps, ``q`` requested, ``r`` result, ``e`` envelope, ``x`` ended_at, ``m``
the rest as JSON. A field that is ``None`` is absent. All scripts use the server's time, with six
decimals.

Indexes by time: live runs in ``live`` by the time they are due (``inf``: never) and in
``begun`` by the time they began, ended ones in ``ended`` by the time they are forgotten. What is
rare has an index besides, by the same times: paused runs ``paused``, failed ones ``failed``. One
that begins anew when its record has expired may stay in ``ended`` and ``failed`` for a while, and
that does no harm: listings look at the record, and counts at the time. A last index, ``ids``, has
the ids in the order of their bytes, each with a zero byte and its task: so an id comes before those
that begin with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

#: All fields, in the order of :func:`celery_graceful.stores.codec.record_of`.
FIELDS: Final = "'v','s','f','o','d','c','n','q','r','e','m','x'"

#: Sets ``now``, and ``stamp``, which is written and answered.
NOW: Final = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local stamp = string.format('%.6f', now)
"""

#: Sets ``name_of``: how the run of a member of the other indexes is named in ``ids``.
NAME: Final = """
local function name_of(member)
  local colon = string.find(member, ':', 1, true) or 0
  local task = string.gsub(string.sub(member, 1, colon - 1), '%z', '%%00')
  return string.sub(member, colon + 1) .. '\\0' .. task
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name by which a server that has seen it knows it."""

    source: str
    sha: bytes = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.source.encode(), usedforsecurity=False)
        object.__setattr__(self, "sha", digest.hexdigest().encode())


# KEYS: run. Answers {stamp, exists, fields}.
LOAD = Script(
    NOW
    + f"""
local r = redis.call('HMGET', KEYS[1], {FIELDS})
return {{stamp, (r[1] and 1) or redis.call('EXISTS', KEYS[1]), r}}
"""
)

# KEYS: run, live, ended, ids, begun. The indexes of what is rare are not among them: while a
# cluster moves a slot, a call waits for keys that are not there, as these mostly are.
# ARGV: expected, next version, member, due_in or '', keep in ms or '', when it began, 'paused',
# 'failed' or '', then fields and values.
# Answers the stamp, or {stamp, exists, fields} when another version stands there.
# The indexes come first: an error there must not find the record deleted and not yet written.
# Every call inside counts: a short task pays for two of these scripts.
SWAP = Script(
    NOW
    + NAME
    + f"""
local key, member = KEYS[1], ARGV[3]
local there = ARGV[1] ~= '0' and redis.call('HMGET', key, 'v', 's')
local v, was = there and there[1], there and there[2]
local exists = (v and 1) or redis.call('EXISTS', key)
if (v or '0') ~= ARGV[1] or (not v and exists == 1) then
  return {{stamp, exists, redis.call('HMGET', key, {FIELDS})}}
end
-- The record stands, so it must be found when it is due.
local function put_back(failure)
  if v then redis.call('ZADD', KEYS[2], redis.call('HGET', key, 'd') or 'inf', member) end
  return failure
end
local function rare(command, name, ...)  -- answers the error, if there is one
  local done = redis.pcall(command, string.sub(KEYS[2], 1, -5) .. name, ...)
  return type(done) == 'table' and done
end
if ARGV[5] ~= '' then
  -- A server without memory refuses a script at its first write unless that is a removal: so a
  -- run can end, and give memory back, while none can begin or continue.
  redis.call('ZREM', KEYS[2], member)
  local till = string.format('%.6f', now + ARGV[5] / 1000)
  local kept = redis.pcall('ZADD', KEYS[3], till, member)
  if type(kept) == 'table' then return put_back(kept) end
  local failure = (ARGV[7] == 'failed' and rare('ZADD', 'failed', till, member))
    or (ARGV[7] == '' and was == 'ended' and rare('ZREM', 'failed', member))
    or (was == 'paused' and rare('ZREM', 'paused', member))
  if failure then return put_back(failure) end
  redis.call('ZREM', KEYS[5], member)
  if v then redis.call('DEL', key) else redis.call('ZADD', KEYS[4], 0, name_of(member)) end
  redis.call('HSET', key, 'v', ARGV[2], 'x', stamp, unpack(ARGV, 8))
  redis.call('PEXPIRE', key, ARGV[5])
  if t[2] % 16 == 0 then
    local gone = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', stamp, 'LIMIT', 0, 320)
    if gone[1] then
      redis.call('ZREM', KEYS[3], unpack(gone))
      for i = 1, #gone do
        if redis.call('EXISTS', string.sub(key, 1, #key - #member) .. gone[i]) == 0 then
          redis.call('ZREM', KEYS[4], name_of(gone[i]))
        end
      end
    end
  end
  return stamp
end
local due = ARGV[4] ~= '' and string.format('%.6f', now + ARGV[4])
redis.call('ZADD', KEYS[2], due or 'inf', member)
redis.call('ZADD', KEYS[5], ARGV[6], member)
local failure = (ARGV[7] == 'paused' and rare('ZADD', 'paused', ARGV[6], member))
  or (ARGV[7] == '' and was == 'paused' and rare('ZREM', 'paused', member))
  or (was == 'ended' and rare('ZREM', 'failed', member))
if failure then return put_back(failure) end
if v then
  local begun_anew = redis.pcall('ZREM', KEYS[3], member)
  if type(begun_anew) == 'table' then return put_back(begun_anew) end
  redis.call('DEL', key)
else
  redis.call('ZADD', KEYS[4], 0, name_of(member))
end
if due then
  redis.call('HSET', key, 'v', ARGV[2], 'd', due, unpack(ARGV, 8))
else
  redis.call('HSET', key, 'v', ARGV[2], unpack(ARGV, 8))
end
return stamp
"""
)

# KEYS: run, live. ARGV: fence, checkpoint, steps, due_in, member.
# Answers {1, version, requested}, {0} when refused, {2} when the record is damaged, {3} when there
# is none.
CHECKPOINT = Script(
    NOW
    + """
local r = redis.call('HMGET', KEYS[1], 's', 'f', 'q', 'v')
if r[1] ~= 'running' or r[2] ~= ARGV[1] then
  if r[1] and r[2] then return {0} end
  return {redis.call('EXISTS', KEYS[1]) == 1 and 2 or 3}
end
if not r[4] then return {2} end
local version = redis.call('HINCRBY', KEYS[1], 'v', 1)
local due = string.format('%.6f', now + ARGV[4])
redis.call('ZADD', KEYS[2], due, ARGV[5])
redis.call('HSET', KEYS[1], 'c', ARGV[2], 'n', ARGV[3], 'd', due)
return {1, version, r[3]}
"""
)

# KEYS: live, then the runs. ARGV: owner, due_in, then the members of the runs.
# Answers the positions of the runs that could not be read.
RENEW = Script(
    NOW
    + """
local due = string.format('%.6f', now + ARGV[2])
local damaged = {}
for i = 2, #KEYS do
  local r = redis.pcall('HMGET', KEYS[i], 's', 'o', 'v')
  if r.err then
    table.insert(damaged, i - 2)
  elseif r[2] == ARGV[1] and (r[1] == 'running' or r[1] == 'finishing') then
    if not r[3] or #r[3] > 18 or not string.find(r[3], '^%d+$') then
      table.insert(damaged, i - 2)
    else
      redis.call('HINCRBY', KEYS[i], 'v', 1)
      redis.call('HSET', KEYS[i], 'd', due)
      redis.call('ZADD', KEYS[1], due, ARGV[i + 1])
    end
  end
end
return damaged
"""
)

# KEYS: a hash and an index of its own. Writes and deletes them, so that missing rights show up
# at once.
CHECK = Script(
    NOW
    + """
redis.call('HSET', KEYS[1], 'at', stamp)
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[2], stamp, 'at')
redis.call('ZREM', KEYS[2], 'at')
return stamp
"""
)
