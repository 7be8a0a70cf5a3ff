-- Functions of all scripts that know leases and delays; they use those of delivering.lua.

-- The limit of Lua's stack is not much higher, and some servers refuse commands of more words.
local MAX_ARGUMENTS = 3000

-- If the account may not use the commands of a script's last steps, fail before anything is
-- changed. These commands change nothing, but they count as writes that free memory: after such a
-- write, the server allows a script's other writes even if memory is short, and leases must be
-- settled then too.
local function begin_writing()
  redis.call('ZREM', absent, '')
  redis.call('HDEL', absent, '')
end

-- Fail before anything is changed if a key that members are returned to has another type.
local function check_types()
  redis.call('ZCARD', set)
  redis.call('HLEN', deliveries)
  redis.call('ZCARD', dead)
  redis.call('HLEN', letters)
  redis.call('SCARD', delayed)
end

-- Return the delivery count in the text of a companion key; 0 if another program wrote the text.
local function count_of(text)
  return tonumber(string.match(text or '', '^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?$') or 0)
end

-- Return the lease, deliveries, most, score and company of an entry of held. The score is one that
-- ZADD accepts, also if another program wrote the entry.
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

-- Call a command with many arguments, in several calls; arguments of one *group* stay together.
local function call_in_parts(arguments, group, ...)
  local most = MAX_ARGUMENTS - MAX_ARGUMENTS % group
  for first = 1, #arguments, most do
    local words = {...}
    for i = first, math.min(first + most - 1, #arguments) do words[#words + 1] = arguments[i] end
    redis.call(unpack(words))
  end
end

-- Notify waiting consumers of a new deadline, if it is nearer than all deadlines that they know:
-- call this before the deadline is set. If the account may not publish, consumers notice the
-- deadline with their next regular look.
local function notify(channel, deadline, now)
  if deadline - now >= RECHECK_MILLISECONDS then return end
  local nearest = redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES')[2]
  if not nearest or tonumber(deadline) < tonumber(nearest) then
    redis.pcall('PUBLISH', channel, 'deadline')
  end
end

-- Remove a member from its lease or delay. A script adds the member elsewhere first, so that an
-- error in between loses no member.
local function let_go(member, was_delayed)
  redis.call('ZREM', leased, member)
  redis.call('HDEL', held, member)
  if was_delayed then redis.call('SREM', delayed, member) end
end

-- Add a member to the dead ones, with the reason. A dead member that was removed as one of a plain
-- set leaves its letter behind: each call deletes a few of these.
local function dead_letter(member, score, reason, now, count, error)
  local letter = {reason, string.format('%.0f', now), string.format('%d', count), error}
  redis.call('HSET', letters, member, table.concat(letter, ' '))
  redis.call('ZADD', dead, score, member)
  if redis.call('HLEN', letters) > redis.call('ZCARD', dead) then
    -- If the account may not use these commands, the letters stay.
    for _, other in ipairs(redis.pcall('HRANDFIELD', letters, 32)) do
      if redis.pcall('ZSCORE', dead, other) == false then redis.call('HDEL', letters, other) end
    end
  end
end

-- Make a member ready that has *count* deliveries; if *alone*, its next lease has no other member.
-- A member that was added again since keeps its new score if the flag is NX; if it is LT, it has the
-- lower of the two.
local function make_ready(member, flag, score, count, alone)
  if count > 0 or alone then
    redis.call('HSET', deliveries, member, string.format(alone and '%d alone' or '%d', count))
  end
  redis.call('ZADD', set, flag, score, member)
end

-- Return the members of expired leases and ended delays to the set; return whether there are more.
-- A member of an expired lease may have crashed its consumer. If the lease had several members, it
-- is unknown which one did: the delivery doesn't count for any of them, but from now on each of
-- them is leased alone.
local function reclaim(now)
  local expired = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, expired_left + 1)
  if #expired == 0 then return false end
  local more = table.remove(expired, expired_left + 1) ~= nil
  expired_left = expired_left - #expired
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
