"""The Lua scripts of the Redis store that list and count many runs, by an index.

Members without a record leave the index that is listed, and so does a record that does not belong
into it: one that vanished and began anew, or that an older version of this package has written.
"""

from __future__ import annotations

from typing import Final

from celery_graceful.stores.redis.scripts import FIELDS, NOW, Script

#: A page of a listing ends after so many bytes: checkpoints and results may be large.
_MOST_BYTES: Final = 1_000_000

#: Sets ``runs``, what the keys of runs begin with: it is no key, which a cluster would look for.
_RUNS: Final = """
local runs = string.match(KEYS[1], '^(.*:)') .. 'run:'
"""

#: Sets ``up_to``: how many members of an index there are up to a place, that one included. Those
#: with one score are found by halves; compared as bytes, since Lua's '<' goes by the locale.
_UP_TO: Final = """
local function behind(member, other)
  for i = 1, math.min(#member, #other) do
    local a, b = string.byte(member, i), string.byte(other, i)
    if a ~= b then return a > b end
  end
  return #member > #other
end
local function up_to(index, score, member)
  local least = redis.call('ZCOUNT', index, '-inf', '(' .. score)
  local most = least + redis.call('ZCOUNT', index, score, score)
  while least < most do
    local middle = math.floor((least + most) / 2)
    if behind(redis.call('ZRANGE', index, middle, middle)[1], member) then
      most = middle
    else
      least = middle + 1
    end
  end
  return least
end
"""

#: Sets ``fits``: whether a run may be what the arguments from the seventh on look for. What cannot
#: be told here does: letters beyond ASCII, and records that are damaged.
_FITS: Final = """
local function fits(member, key)
  local task, states, outcome, worker, extra, text, since, enveloped = unpack(ARGV, 7)
  if not task then return true end
  if string.sub(member, 1, #task) ~= task then return false end
  if states .. outcome .. worker .. extra .. text .. since .. enveloped == '' then return true end
  local r = redis.pcall('HMGET', key, 's', 'o', 'm')
  if r.err or not r[1] or not r[3] then return true end
  local owner, summary = r[2] or '', r[3]
  if states ~= '' and not string.find(states, ',' .. r[1] .. ',', 1, true) then return false end
  if outcome ~= '' and not string.find(summary, outcome, 1, true) then return false end
  if worker ~= '' and owner ~= worker and string.sub(owner, 1, #worker + 1) ~= worker .. '/' then
    return false
  end
  if extra ~= '' and not string.find(summary, extra, 1, true) then return false end
  if since ~= '' then
    local began = tonumber(string.match(summary, '"started_at":([^,}]*)'))
    if began and began < tonumber(since) then return false end
  end
  if text ~= '' then
    local colon = string.find(member, ':', 1, true) or 0
    local name = string.sub(member, 1, colon - 1)
    if string.find(name, '%', 1, true) then
      name = string.gsub(string.gsub(name, '%%3A', ':'), '%%25', '%%')
    end
    local all = name .. '[' .. string.sub(member, colon + 1) .. '] ' .. owner
    if not string.find(all, '[\\128-\\255]') and not string.find(string.lower(all), text, 1, true)
    then
      return false
    end
  end
  return enveloped == '' or redis.call('HEXISTS', key, 'e') == 1
end
"""

#: Sets ``belongs``: whether a record is one of the fifth argument, which names an index.
_BELONGS: Final = """
local function belongs(r)
  local state, summary, ended = r[2], r[11], r[12]
  if not state or not summary or ARGV[5] == '' then return true end
  if ARGV[5] == 'live' then return not ended end
  if ARGV[5] == 'paused' then return not ended and state == 'paused' end
  if ARGV[5] == 'ended' then return ended end
  return ended and string.find(summary, '"outcome":"failed"', 1, true)
end
"""

# KEYS: the index to list. ARGV: 'due', 'up' or 'down', how many to answer, then the score and the
# member to continue after ('' and '': from the beginning), the name of what is listed or '', how
# many to look at, and what is looked for, if anything is: see above.
# Answers {stamp, looked, score, member, entry …}: the time, how many were looked at, where to
# continue ('' and '' at the end), and for each run {member, score, fields} or, for what is no hash,
# {member, score}.
LIST = Script(
    NOW
    + _RUNS
    + _UP_TO
    + _FITS
    + _BELONGS
    + f"""
local index, count, looks = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[6])
local back, at = ARGV[1] == 'down', 0
if ARGV[3] ~= '' then
  at = up_to(index, ARGV[3], ARGV[4])
  if back then
    local there = redis.call('ZSCORE', index, ARGV[4])
    if there and tonumber(there) == tonumber(ARGV[3]) then at = at - 1 end
    at = redis.call('ZCARD', index) - at
  end
end
local members
if back then
  members = redis.call('ZREVRANGE', index, at, at + looks - 1, 'WITHSCORES')
else
  members = redis.call('ZRANGE', index, at, at + looks - 1, 'WITHSCORES')
end
local out, bytes = {{stamp, 0, '', ''}}, 0
for i = 1, #members, 2 do
  local member, score = members[i], members[i + 1]
  if ARGV[1] == 'due' and tonumber(score) > now then
    out[3], out[4] = '', ''
    return out
  end
  out[2], out[3], out[4] = (i + 1) / 2, score, member
  local key = runs .. member
  if fits(member, key) then
    local r = redis.pcall('HMGET', key, {FIELDS})
    if r.err and string.find(r.err, 'non local key', 1, true) then
      return r  -- of a cluster that moves it to another node, where it may be already
    elseif r.err then
      table.insert(out, {{member, score}})
    elseif (r[1] or redis.call('EXISTS', key) == 1) and belongs(r) then
      table.insert(out, {{member, score, r}})
      for _, value in ipairs(r) do bytes = bytes + (value and #value or 0) end
      if bytes > {_MOST_BYTES} or #out == count + 4 then return out end
    else
      redis.call('ZREM', index, member)
    end
  end
end
if #members < 2 * looks then out[3], out[4] = '', '' end
return out
"""
)

# KEYS: ids, begun, ended, paused, failed, walked. ARGV: where to begin in ids, how many to look at.
# Answers {whether all ids were looked at once, where to begin next, live, paused, failed, ended}.
# Callers begin with '-'.
# The indexes of what is rare, and what vanished, are put right for so many runs: an older version
# of this package knows no such indexes, and an eviction none at all.
COUNT = Script(
    NOW
    + _RUNS
    + """
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local gone, other, next_one = {}, {}, '-'
for _, name in ipairs(names) do
  local id, task = string.match(name, '^(.*)%z([^%z]*)$')
  local member = id and string.gsub(task, '%%00', '\\0') .. ':' .. id
  local r = member and redis.pcall('HMGET', runs .. member, 's', 'm', 'x')
  if not r then
    redis.call('ZREM', KEYS[1], name)
  elseif r.err and string.find(r.err, 'non local key', 1, true) then
    return r  -- of a cluster that moves it to another node
  elseif r.err or not r[1] then
    if not r.err and redis.call('EXISTS', runs .. member) == 0 then
      redis.call('ZREM', KEYS[1], name)
      table.insert(gone, member)
    end
  elseif r[1] == 'paused' and not r[3] then
    local began = redis.call('ZSCORE', KEYS[2], member)
    if began then redis.call('ZADD', KEYS[4], began, member) end
    redis.call('ZREM', KEYS[5], member)
  elseif r[3] and r[2] and string.find(r[2], '"outcome":"failed"', 1, true) then
    local till = redis.call('ZSCORE', KEYS[3], member)
    if till then redis.call('ZADD', KEYS[5], till, member) end
    redis.call('ZREM', KEYS[4], member)
  else
    table.insert(other, member)
  end
end
if other[1] then
  redis.call('ZREM', KEYS[4], unpack(other))
  redis.call('ZREM', KEYS[5], unpack(other))
end
if gone[1] then
  for i = 2, 5 do redis.call('ZREM', KEYS[i], unpack(gone)) end
end
if #names == tonumber(ARGV[2]) then
  next_one = '(' .. names[#names]
else
  redis.call('SET', KEYS[6], '1')
end
local stale = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', stamp, 'LIMIT', 0, 320)
if stale[1] then redis.call('ZREM', KEYS[5], unpack(stale)) end
return {
  redis.call('EXISTS', KEYS[6]), next_one,
  redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[4]),
  redis.call('ZCOUNT', KEYS[5], '(' .. stamp, '+inf'),
  redis.call('ZCOUNT', KEYS[3], '(' .. stamp, '+inf'),
}
"""
)

# KEYS: ids. ARGV: where to begin, where to end, count.
# Answers {how many were looked at, the last of them, name …}. Those without a record leave the
# index here.
NAMED = Script(
    _RUNS
    + """
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local out = {#names, names[#names] or ''}
for _, name in ipairs(names) do
  local id, task = string.match(name, '^(.*)%z([^%z]*)$')
  local member = id and string.gsub(task, '%%00', '\\0') .. ':' .. id
  if member and redis.call('EXISTS', runs .. member) == 1 then
    table.insert(out, name)
  else
    redis.call('ZREM', KEYS[1], name)
  end
end
return out
"""
)
