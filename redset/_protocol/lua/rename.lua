-- Rename a set, also an empty one, with its companion keys; a temporary set becomes a lasting one.
--
-- KEYS[1]  the set
-- KEYS[2]  its new key; a set that is there is replaced, with its companion keys
-- KEYS[3]  the slot's reply key, as idempotency.lua has it
-- KEYS[4]  moved: a sorted set, new key of the set -> until when a lease may ask for it, in
--          milliseconds of the server's clock
-- KEYS[5…] the companion keys of the set, leased first and absent last, as delivering.lua has them,
--          then those of the new key in the same order, then the liveness key of a temporary set,
--          if it is one: it is deleted
-- ARGV     this request's id, milliseconds to keep the reply, and to keep an entry of moved after
--          the last deadline, channel of the consumers that wait for the new key
-- Reply    {'size', 1}, or {'expired', 0} if the temporary set is gone; the same again for the same
--          call. {'renamed', 1} if a repeated call finds that an earlier attempt renamed the set,
--          and that there is something under its key again: that must not replace what was moved.
--          {'into', 0} if the new key has another type
-- Cost     O(log n); a replaced set is freed in the background
-- Why      RENAME moves only one of the keys, and is an error for an empty set, which has no key
local set, new, reply_key, moved = unpack(KEYS, 1, 4)
local id, keep, channel = unpack(ARGV)
local FIRST = 5
local number = math.floor((#KEYS - FIRST + 1) / 2)
local leased, liveness_key = KEYS[FIRST], KEYS[FIRST + 2 * number]
local absent = KEYS[FIRST + number - 1]
-- The longest time in milliseconds: a lease may have a later deadline, but the server's numbers
-- have a limit.
local LONGEST = 1e12

local state = recall(reply_key, id)
local is_there = redis.call('EXISTS', set, unpack(KEYS, FIRST, FIRST + number - 1)) > 0
if state == 'retry' and set ~= new and is_there then return {'renamed', 1} end
if state ~= 'fresh' then return {'size', 1} end
if liveness_key and redis.call('EXISTS', liveness_key) == 0 then return {'expired', 0} end

-- If a key has another type, or if the account may not use the commands below, these fail before
-- anything is changed. The first write counts as one that frees memory: after it, the server allows
-- the others if memory is short.
local last = redis.call('ZRANGE', leased, -1, -1, 'WITHSCORES')[2]
redis.call('ZCARD', set)
local kind = redis.call('TYPE', new).ok
if kind ~= 'zset' and kind ~= 'none' then return {'into', 0} end
redis.call('ZCARD', moved)
redis.call('UNLINK', absent)
redis.call('EXISTS', absent)
redis.call('PERSIST', absent)
local refused = redis.pcall('RENAME', absent, absent)
if not string.find(refused.err, 'no such key', 1, true) then return refused end

-- A consumer that has a member on lease knows only the set's old key: moved tells it the new one.
if last and set ~= new then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local ends = math.min(math.max(tonumber(last), now), now + LONGEST) + keep
  redis.call('ZREMRANGEBYSCORE', moved, '-inf', now)
  redis.call('ZADD', moved, 'GT', string.format('%.0f', ends), new)
  redis.call('ZREMRANGEBYRANK', moved, 0, -MAX_MOVED - 1)
  local latest = redis.call('ZRANGE', moved, -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIRE', moved, string.format('%.0f', latest - now))
  redis.pcall('PUBLISH', channel, 'deadline')
end
store_reply(reply_key, id, {}, keep)

local function move(from, to)
  redis.call('UNLINK', to)
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
end

if set ~= new then
  move(set, new)
  for i = FIRST, FIRST + number - 1 do move(KEYS[i], KEYS[i + number]) end
end
if liveness_key then
  redis.call('PERSIST', new)
  for i = FIRST + number, FIRST + 2 * number - 1 do redis.call('PERSIST', KEYS[i]) end
  redis.call('UNLINK', liveness_key)
end
return {'size', 1}
