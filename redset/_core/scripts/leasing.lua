-- What all scripts of handing out share; their own text follows this.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it
-- KEYS[3]  leased: a sorted set, member -> deadline, in milliseconds of the server's clock
-- KEYS[4]  held: a hash, member -> "lease deliveries most score"; "-" is the lease of nobody
-- KEYS[5]  deliveries: a hash, member -> how often it was handed out, of members that came back
-- KEYS[6]  dead: a sorted set of the members that came back too often
local set, reply_key, leased, held, deliveries, dead = unpack(KEYS)

-- More than a call can put right at once wait for the next one.
local MOST_EXPIRED = 10000
-- Lua's stack takes no more at once.
local MOST_ARGUMENTS = 4000

local function now_in_milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Fail before anything is changed if a key is of another type: a script that fails halfway would have
-- removed members that it can't put anywhere.
local function check_types()
  redis.call('ZCARD', set)
  redis.call('ZCARD', leased)
  redis.call('HLEN', held)
  redis.call('HLEN', deliveries)
  redis.call('ZCARD', dead)
end

-- How often a member was handed out, as a companion key says; 0 for what another program wrote there.
local function count_of(text)
  return tonumber(string.match(text or '', '^%d%d?%d?%d?%d?%d?%d?%d?%d?$') or 0)
end

-- The lease, deliveries, most and score of an entry of held; a score that ZADD takes in any case. If
-- *uncounted*, the deliveries are without this one.
local function parts_of(entry, uncounted)
  local lease, count, most, score = string.match(entry or '', '^(%S+) (%d+) (%d+) (%S+)$')
  local number = tonumber(score)
  if not number or number ~= number then score = '0' end
  local handed_out = math.max(count_of(count) - (uncounted and 1 or 0), 0)
  return lease or '-', handed_out, count_of(most), score
end

-- Call a command with many arguments, which come in groups of *group*.
local function call_in_parts(arguments, group, ...)
  local most = MOST_ARGUMENTS - MOST_ARGUMENTS % group
  for first = 1, #arguments, most do
    local words = {...}
    for i = first, math.min(first + most - 1, #arguments) do words[#words + 1] = arguments[i] end
    redis.call(unpack(words))
  end
end

-- Consumers that wait look again after this long anyway.
local RECHECK_MILLISECONDS = 15000

-- Tell consumers that wait of a new deadline, if it is nearer than any that they can know of: call
-- this before the deadline is set. Without the right to publish, they look after a while.
local function tell(channel, deadline, now)
  if deadline - now >= RECHECK_MILLISECONDS then return end
  local nearest = redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2]
  if not nearest or tonumber(deadline) < tonumber(nearest) then
    redis.pcall('PUBLISH', channel, 'deadline')
  end
end

-- End the hold on a member: it is ready again, at *score* or at its own, or dead. If *uncounted*, it
-- is as if it had not been handed out this time.
local function return_to_ready(member, entry, score, uncounted)
  local _, count, most, own = parts_of(entry, uncounted)
  redis.call('ZREM', leased, member)
  redis.call('HDEL', held, member)
  if most > 0 and count >= most then
    redis.call('ZADD', dead, own, member)
    return
  end
  -- One that was added again meanwhile is ready already, at a score of its own.
  if score then redis.call('ZADD', set, score, member) else redis.call('ZADD', set, 'NX', own, member) end
  if count > 0 then redis.call('HSET', deliveries, member, count) end
end

-- Give back what was not acknowledged in time.
local function reclaim(now)
  local expired = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, MOST_EXPIRED)
  for _, member in ipairs(expired) do return_to_ready(member, redis.call('HGET', held, member)) end
end

-- Remove the lowest members; give member, score, member, score, ...
local function take_lowest(num, highest)
  local taken
  if highest == '+inf' then
    taken = redis.call('ZPOPMIN', set, num)
  else
    taken = redis.call('ZRANGEBYSCORE', set, '-inf', highest, 'WITHSCORES', 'LIMIT', 0, num)
    if #taken > 0 then redis.call('ZREMRANGEBYRANK', set, 0, #taken / 2 - 1) end
  end
  return taken
end
