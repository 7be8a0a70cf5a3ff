-- Add the members that are not there; leave the others, and their scores, as they are.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it: the marks of the members that were new
-- KEYS[3]  held, as leasing.lua has it
-- KEYS[4]  seen, as admit.lua has it
-- KEYS[5]  dead, as leasing.lua has it
-- KEYS[6]  deliveries, letters and undecodable follow, as leasing.lua has them
-- KEYS[9]  the sign of a temporary set, if it is one
-- ARGV     this request's id, milliseconds to keep the reply, "until_taken", "until_acked" or
--          "forever", score, member, score, member, ...
-- Reply    the positions (from 0) of the pairs that were new; the same again for the same call
-- Cost     O(k log n) for k members
-- Why      ZADD NX says how many were new, not which, and of a call that the client repeats after
--          a lost reply that none was: such members would be new to nobody
local set, reply_key, held, seen, dead, deliveries, letters, undecodable, sign = unpack(KEYS)
local id, keep, unique = ARGV[1], ARGV[2], ARGV[3]
local FIRST = 4

-- What stands for a member in the reply key, so that a large one isn't kept there for minutes: itself,
-- or its SHA1, which is longer than any that stands for itself.
local function mark_of(member)
  return #member < 40 and member or redis.sha1hex(member)
end

local function admits(member)
  if unique == 'until_taken' then return true end
  if unique == 'forever' and redis.call('SISMEMBER', seen, member) == 1 then return false end
  return redis.call('HEXISTS', held, member) == 0 and not redis.call('ZSCORE', dead, member)
end

if is_gone(sign) then return GONE end
local state, added = recall(reply_key, id)
if state == 'stale' then return {} end
-- These fail before anything is changed if a key is of another type: a member must not be seen and
-- never added.
redis.call('ZCARD', set)
if unique ~= 'until_taken' then
  redis.call('HLEN', held)
  redis.call('ZCARD', dead)
end
-- A set that has members is not made anew, so that it alone has to be asked.
local left = redis.call('PTTL', set)
if left == -2 then left = time_left(set, held, seen, dead, deliveries, letters, undecodable) end
local untold, new = {}, {}
for _, mark in ipairs(added) do untold[mark] = true end

for i = FIRST, #ARGV, 2 do
  local member = ARGV[i + 1]
  local mark = mark_of(member)
  if untold[mark] then  -- added already, and perhaps taken by now
    new[#new + 1] = (i - FIRST) / 2
    untold[mark] = nil
  elseif state ~= 'duplicate' and admits(member) then
    if redis.call('ZADD', set, 'NX', ARGV[i], member) == 1 then
      added[#added + 1] = mark
      new[#new + 1] = (i - FIRST) / 2
    end
    if unique == 'forever' then redis.call('SADD', seen, member) end
  end
end

inherit(left, set, seen)
if state ~= 'duplicate' then store_reply(reply_key, id, added, keep) end
return new
