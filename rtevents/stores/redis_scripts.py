"""
What Redis runs for a log, each whole or not at all: Lua, by the name of what it does.

A log is five keys with one hash tag, so that they are on one node of a cluster:

- ``entries``: the stream. An entry's id is ``<seq>-<stored>``, its time in microseconds; its fields
  are ``b``, the event's body, and, of every 32nd and of the last that came at once, ``e``: the wire
  bytes of all entries up to its end.
- ``ids``: a hash, ``event_id`` to ``seq``, of what is kept.
- ``types``: a hash, a type's name to the seq of its newest entry.
- ``log``: a hash: ``epoch``, ``last``, ``stored`` and ``end`` of the newest entry, ``count`` of
  those that are kept (where it is wrong, Redis or somebody's hand threw some of it away), ``holes``
  (text: ``after-before`` of the seqs that are missing, a blank after each), ``line`` (text: the
  epochs whose entries these are, the present one last, a blank after each), ``failover`` and
  ``run`` of the server that it was on; and, where it was moved here, ``moved``, the last seq of
  what was, and ``due``, the last that is to be, or more, until that is known: see ``move``.
- ``nodes``: a hash, what each daemon that shares the log has left word of itself, by its name: when
  that was, in milliseconds, a blank, and the word.
"""

from __future__ import annotations

_ENTRY = r"""
local function ids_of(body)
  return string.match(body, '^{"event_id":"([^"]+)","type":"([^"]+)"')
end
local function text(number)
  return string.format('%.0f', number)
end
local function size_of(seq, body)
  return #body + 7 + #text(seq)
end
local function add(entries, seq, stored, body, size, is_last)
  local id = text(seq) .. '-' .. stored
  if is_last or seq % 32 == 0 then
    redis.call('XADD', entries, id, 'b', body, 'e', text(size))
  else
    redis.call('XADD', entries, id, 'b', body)
  end
end
local function is_whole(count)
  return not count or tonumber(count) == redis.call('XLEN', KEYS[1])
    and tonumber(count) == redis.call('HLEN', KEYS[2])
    and (count == '0' or redis.call('EXISTS', KEYS[3]) == 1)
end
local function parts(id)
  local seq, stored = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(seq), tonumber(stored)
end
"""

APPEND = (
    _ENTRY
    + r"""
-- ARGV: epoch, the seq that is known, the time in microseconds or '', then the bodies.
local entries, ids, kinds, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local is = redis.call('HMGET', log, 'epoch', 'last', 'stored', 'end', 'count')
if is[1] ~= ARGV[1] or tonumber(is[2]) < tonumber(ARGV[2]) or not is_whole(is[5]) then
  return {'other'}
end
local names, types = {}, {}
for at = 4, #ARGV do
  names[at - 3], types[at - 3] = ids_of(ARGV[at])
end
local known = {'known'}
for from = 1, #names, 1000 do
  local to = math.min(from + 999, #names)
  local found = redis.call('HMGET', ids, unpack(names, from, to))
  for at, seq in ipairs(found) do
    if seq then
      local row = redis.call('XRANGE', entries, seq, seq)[1]
      known[#known + 1] = names[from + at - 1]
      known[#known + 1] = seq
      known[#known + 1] = row and row[2][2] or ''
    end
  end
end
if #known > 1 then
  return known
end
local last, size = tonumber(is[2]), tonumber(is[4])
local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local stored = text(math.max(tonumber(is[3]), now))
local base, pairs_of, newest = last, {}, {}
for at, name in ipairs(names) do
  local body = ARGV[at + 3]
  last = last + 1
  local seq = text(last)
  size = size + #body + 7 + #seq
  add(entries, last, stored, body, size, at == #names)
  pairs_of[#pairs_of + 1] = name
  pairs_of[#pairs_of + 1] = seq
  newest[types[at]] = seq
end
for from = 1, #pairs_of, 1000 do
  redis.call('HSET', ids, unpack(pairs_of, from, math.min(from + 999, #pairs_of)))
end
for kind, seq in pairs(newest) do
  redis.call('HSET', kinds, kind, seq)
end
redis.call('HSET', log, 'last', text(last), 'stored', stored, 'end', text(size))
redis.call('HINCRBY', log, 'count', #names)
return {'stored', text(base), stored}
"""
)

ADOPT = (
    _ENTRY
    + r"""
-- ARGV: the epoch of a log that is moved here, failover and run as in GREET, the seq that was the
-- last; of the source the first seq that it keeps; how far the log has to come before a daemon
-- goes on in it; then of each entry its seq, its time in microseconds, and its body.
local entries, ids, kinds, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local is = redis.call('HMGET', log, 'epoch', 'last', 'moved', 'end', 'holes')
if (is[2] or '0') ~= ARGV[4] or is[1] and (is[1] ~= ARGV[1] or is[3] ~= is[2]) then
  return 'other'
end
local last, first = tonumber(ARGV[4]), tonumber(ARGV[5])
local size, holes, stored = tonumber(is[4] or '0'), is[5] or '', nil
if first > last + 1 then
  -- All that was moved before is trimmed there, and more than that: so it is here.
  redis.call('UNLINK', entries, ids, kinds)
  last = first - 1
end
for at = 7, #ARGV, 3 do
  local seq, body = ARGV[at], ARGV[at + 2]
  stored = ARGV[at + 1]
  if tonumber(seq) > last + 1 then
    holes = string.format('%s%.0f-%s ', holes, last, seq)
  end
  last = tonumber(seq)
  size = size + #body + 7 + #seq
  add(entries, last, stored, body, size, at + 3 > #ARGV)
  local name, kind = ids_of(body)
  redis.call('HSET', ids, name, seq)
  redis.call('HSET', kinds, kind, seq)
end
if stored then
  redis.call('HSET', log, 'stored', stored)
else
  redis.call('HSETNX', log, 'stored', '0')
end
redis.call('HSET', log, 'epoch', ARGV[1], 'last', text(last), 'moved', text(last), 'due', ARGV[6],
  'end', text(size), 'count', redis.call('XLEN', entries), 'holes', holes, 'failover', ARGV[2],
  'run', ARGV[3])
return 'done'
"""
)

ADOPTED = r"""
-- Returns the first id that is kept or '', and epoch, last, moved and due.
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local is = redis.call('HMGET', KEYS[4], 'epoch', 'last', 'moved', 'due')
return {oldest and oldest[1] or '', is[1], is[2], is[3], is[4]}
"""

GREET = (
    "#!lua flags=allow-oom\n"
    + _ENTRY
    + r"""
-- ARGV: a new epoch, the epoch and the seq that are known ('' and 0: none), how far a new log
-- begins after an old one, the failover that made this server the master ('': none), its run, and
-- '1' if what it held before that run may be more than what it holds now; then, of who begins, and
-- knows only what it remembers, the epochs of which that may be (else ''), and '1' if it was here.
local entries, ids, kinds, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local is = redis.call('HMGET', log, 'epoch', 'last', 'holes', 'failover', 'run', 'line', 'due',
  'count')
local known, last, is_known = tonumber(ARGV[3]), tonumber(is[2] or '0'), ARGV[2] ~= ''
if tonumber(is[7] or '0') > last then
  return redis.error_reply('ERR the log is not all moved here: let `rtevents migrate` end; else '
    .. 'end the daemon that has the old file, and run it once more')
end
if ARGV[8] ~= '' then
  -- Another log has its own bookmarks. One that is named as what the remembered one had lost is not
  -- another: it is older than that.
  if is[1] then
    is_known = string.find(ARGV[8], is[1] .. ' ', 1, true)
  else
    is_known = ARGV[9] == '1'
  end
  known = is_known and known or 0
end
-- Of whatever epoch: who did not know the log began it anew, or an old master came back. What lost
-- its end and goes on after what is known is further than that.
local is_behind = is_known and last < known
-- Another one that began anew may have come further than what is known; one that goes on after it
-- has jumped over it.
local is_apart = is_known and is[1] and is[1] ~= ARGV[2]
for before in string.gmatch(is[3] or '', '%-(%d+) ') do
  is_apart = is_apart and tonumber(before) <= known + 1
end
local is_replaced = ARGV[5] ~= '' and is[4] ~= ARGV[5]
local is_older = ARGV[7] == '1' and is[5] ~= ARGV[6]
local is_torn = is[1] and not is_whole(is[8])
if not is[1] or is_behind or is_apart or is_replaced or is_older or is_torn then
  local first, holes = math.max(last, known), is[3] or ''
  if first > 0 then
    first = first + tonumber(ARGV[4])
    holes = string.format('%s%.0f-%.0f ', holes, last, first + 1)
  end
  local line = (is[6] or is[1] and is[1] .. ' ' or '') .. ARGV[1] .. ' '
  redis.call('HSET', log, 'epoch', ARGV[1], 'last', string.format('%.0f', first), 'holes', holes,
    'line', string.sub(line, -1000), 'count', redis.call('XLEN', entries))
  redis.call('HSETNX', log, 'stored', '0')
  redis.call('HSETNX', log, 'end', '0')
  if is_torn then
    -- What is left is made whole, so that each id is known; it takes a second for a million.
    redis.call('UNLINK', ids, kinds)
    local from = '-'
    repeat
      local rows = redis.call('XRANGE', entries, from, '+', 'COUNT', 1000)
      for _, row in ipairs(rows) do
        local name, kind = ids_of(row[2][2])
        local seq = text((parts(row[1])))
        redis.call('HSET', ids, name, seq)
        redis.call('HSET', kinds, kind, seq)
        from = '(' .. row[1]
      end
    until #rows == 0
  end
end
if is[4] ~= ARGV[5] or is[5] ~= ARGV[6] then
  redis.call('HSET', log, 'failover', ARGV[5], 'run', ARGV[6])
end
redis.call('HSETNX', log, 'count', redis.call('XLEN', entries))
return redis.call('HMGET', log, 'epoch', 'last', 'holes', 'line')
"""
)

FIND = (
    _ENTRY
    + r"""
-- ARGV: what ('stored', or 'begin': the wire bytes before it), and a number that it reaches.
-- Returns the seq of the first entry of which that is so; what comes after the last, else.
local entries, log = KEYS[1], KEYS[4]
local wanted = tonumber(ARGV[2])
local newest = redis.call('XREVRANGE', entries, '+', '-', 'COUNT', 1)[1]
local oldest = redis.call('XRANGE', entries, '-', '+', 'COUNT', 1)[1]
local after = tonumber(redis.call('HGET', log, 'last')) + 1
if not newest then
  return text(after)
end
local function before(id)
  local bytes = 0
  for _, row in ipairs(redis.call('XRANGE', entries, id, '+', 'COUNT', 32)) do
    bytes = bytes + size_of((parts(row[1])), row[2][2])
    if row[2][4] then
      return row[2][4] - bytes
    end
  end
end
local low, high = parts(oldest[1]), parts(newest[1]) + 1
while low < high do
  local middle = math.floor((low + high) / 2)
  -- The first that is there: seqs may be missing.
  local row = redis.call('XRANGE', entries, text(middle), '+', 'COUNT', 1)[1]
  local seq, value = parts(row[1])
  if ARGV[1] == 'begin' then
    value = before(row[1])
  end
  if value >= wanted then
    high = middle
  else
    low = seq + 1
  end
end
local row = redis.call('XRANGE', entries, text(low), '+', 'COUNT', 1)[1]
return row and text((parts(row[1]))) or text(after)
"""
)

TRIM = (
    _ENTRY
    + r"""
-- ARGV: the seq to keep from, and the most to delete. Returns how many are gone.
local entries, ids, log = KEYS[1], KEYS[2], KEYS[4]
local keep, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local rows = redis.call('XRANGE', entries, '-', text(keep - 1), 'COUNT', most)
if #rows == 0 then
  return 0
end
local names = {}
for at, row in ipairs(rows) do
  names[at] = ids_of(row[2][2])
end
redis.call('XTRIM', entries, 'MINID', '=', text((parts(rows[#rows][1])) + 1))
for from = 1, #names, 1000 do
  redis.call('HDEL', ids, unpack(names, from, math.min(from + 999, #names)))
end
redis.call('HINCRBY', log, 'count', -#rows)
return #rows
"""
)

EXTENT = r"""
-- Returns the first id that is kept or '', and epoch, last and holes.
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {oldest and oldest[1] or '', unpack(redis.call('HMGET', KEYS[4], 'epoch', 'last', 'holes'))}
"""

MEET = r"""
-- ARGV: who this is, its word ('' to take it away), and the milliseconds for which a word is kept.
-- Returns what was there before: names, the milliseconds since each left its word, and the words.
local nodes = KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, found = redis.call('HGETALL', nodes), {}
for at = 1, #all, 2 do
  local left, word = string.match(all[at + 1], '^(%d+) (.*)$')
  local age = left and math.max(0, now - tonumber(left))
  if age and age < tonumber(ARGV[3]) then
    found[#found + 1] = all[at]
    found[#found + 1] = string.format('%.0f', age)
    found[#found + 1] = word
  else
    redis.call('HDEL', nodes, all[at])
  end
end
if ARGV[2] == '' then
  redis.call('HDEL', nodes, ARGV[1])
else
  redis.call('HSET', nodes, ARGV[1], string.format('%.0f ', now) .. ARGV[2])
end
return found
"""
