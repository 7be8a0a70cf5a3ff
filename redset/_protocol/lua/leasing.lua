-- What all scripts of handing out share; their own text follows this.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it
-- KEYS[3]  leased: a sorted set, member -> deadline, in milliseconds of the server's clock
-- KEYS[4]  held: a hash, member -> "lease deliveries most score since company worker"; the lease
--          is "-" if the member waits for the end of a delay. "company" says whether the lease was
--          of this member ("alone") or of several ("many"); of one that waits, how it is to be
--          handed out next.
-- KEYS[5]  deliveries: a hash, member -> how often it was handed out, of members that came back;
--          "alone" follows if it has to be handed out by itself
-- KEYS[6]  dead: a sorted set of the members that came back too often
-- KEYS[7]  letters: a hash, member of dead -> "reason milliseconds deliveries error"
-- KEYS[8]  delayed: a set, the members of leased that nobody has: they wait for the end of a delay
-- KEYS[9]  undecodable: a sorted set of the members that could not be turned into items when they were
--          taken
-- KEYS[10] seen: a set of all members that were ever admitted, if they are unique for good
-- KEYS[11] absent: a key that never exists
local set, reply_key, leased, held, deliveries, dead, letters, delayed, undecodable, seen, absent =
  unpack(KEYS)

-- More than a call can put right at once wait for the next one.
local MOST_EXPIRED = 250
-- Lua's stack takes few more at once, some servers no command of more words.
local MOST_ARGUMENTS = 3000

local function now_in_milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Fail before anything is changed if the account may not do what a script does at the end. This
-- changes nothing, but it is a write that frees memory: after one the server lets a script write on
-- when memory is short, and what is on lease must be settled then too.
local function begin_writing()
  redis.call('ZREM', absent, '')
  redis.call('HDEL', absent, '')
end

-- The same if one of the keys is of another type that a script changes for what comes back.
local function check_types()
  redis.call('ZCARD', set)
  redis.call('HLEN', deliveries)
  redis.call('ZCARD', dead)
  redis.call('HLEN', letters)
  redis.call('SCARD', delayed)
end

-- How often a member was handed out, as a companion key says; 0 for what another program wrote there.
local function count_of(text)
  return tonumber(string.match(text or '', '^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?$') or 0)
end

-- The lease, deliveries, most, score and company of an entry of held; a score that ZADD takes in
-- any case.
local function parts_of(entry)
  local lease, count, most, score, company =
    string.match(entry or '', '^(%S+) (%d+) (%d+) (%S+) %d+ (%S+) ')
  local number = tonumber(score)
  if not number or number ~= number then score = '0' end
  return lease or '-', count_of(count), count_of(most), score, company
end

local function entry_of(lease, count, most, score, since, company, worker)
  since = string.format('%.0f', since)
  return table.concat({lease, string.format('%d', count), most, score, since, company, worker}, ' ')
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

-- Tell consumers that wait of a new deadline, if it is nearer than any that they can know of: call
-- this before the deadline is set. Without the right to publish, they look after a while.
local function notify(channel, deadline, now)
  if deadline - now >= RECHECK_MILLISECONDS then return end
  local nearest = redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2]
  if not nearest or tonumber(deadline) < tonumber(nearest) then
    redis.pcall('PUBLISH', channel, 'deadline')
  end
end

-- End the hold on a member. What a script adds comes first, so that an error loses nothing.
local function let_go(member, was_delayed)
  redis.call('ZREM', leased, member)
  redis.call('HDEL', held, member)
  if was_delayed then redis.call('SREM', delayed, member) end
end

-- Put a member among the dead, and say why.
local function dead_letter(member, score, reason, now, count, error)
  local letter = {reason, string.format('%.0f', now), string.format('%d', count), error}
  redis.call('HSET', letters, member, table.concat(letter, ' '))
  redis.call('ZADD', dead, score, member)
end

-- Make a member ready that was handed out *count* times; if *alone*, the next one that has it has
-- nothing else. One that was added again meanwhile is ready already, at a score of its own.
local function make_ready(member, flag, score, count, alone)
  if count > 0 or alone then
    redis.call('HSET', deliveries, member, string.format(alone and '%d alone' or '%d', count))
  end
  if flag then redis.call('ZADD', set, flag, score, member) else redis.call('ZADD', set, score, member) end
end

-- Give back what was not acknowledged in time; return whether there is more. Who worked on it may
-- have died of it: if there were several, nobody knows of which, so none of them is to blame, but
-- from now on each is handed out alone.
local function reclaim(now)
  local expired = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, MOST_EXPIRED + 1)
  if #expired == 0 then return false end
  local more = table.remove(expired, MOST_EXPIRED + 1) ~= nil
  check_types()
  for _, member in ipairs(expired) do
    local lease, count, most, score, company = parts_of(redis.call('HGET', held, member))
    if lease == '-' then
      make_ready(member, 'NX', score, count, company == 'alone')
    elseif company == 'many' then
      make_ready(member, 'NX', score, math.max(count - 1, 0), true)
    elseif most > 0 and count >= most then
      dead_letter(member, score, 'expired', now, count, '')
    else
      make_ready(member, 'NX', score, count, true)
    end
    let_go(member, lease == '-')
  end
  return more
end

-- The members that come next, not removed yet: member, score, member, score, ... These are the lowest,
-- or, of those that are due, the *last*.
local function next_members(num, highest, last)
  if last then
    return redis.call('ZREVRANGEBYSCORE', set, highest, '-inf', 'WITHSCORES', 'LIMIT', 0, num)
  end
  if highest == '+inf' then return redis.call('ZRANGE', set, 0, num - 1, 'WITHSCORES') end
  return redis.call('ZRANGEBYSCORE', set, '-inf', highest, 'WITHSCORES', 'LIMIT', 0, num)
end

-- Remove those, whatever word follows them; give the error if that is not allowed.
local function remove_next(pairs, highest, last)
  local num = math.floor(#pairs / 2)
  local first = last and redis.call('ZCOUNT', set, '-inf', highest) - num or 0
  local reply = redis.pcall('ZREMRANGEBYRANK', set, first, first + num - 1)
  return type(reply) == 'table' and reply.err and reply
end
