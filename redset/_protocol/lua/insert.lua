-- Add the members that are not in the set; don't change the others, and their scores.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it: the marks of the members that were new
-- KEYS[3]  held, as delivering.lua has it
-- KEYS[4]  seen, as admit.lua has it
-- KEYS[5]  dead, as delivering.lua has it
-- KEYS[6]  deliveries, letters and undecodable follow, as delivering.lua has them
-- KEYS[9]  the liveness key of a temporary set, if it is one
-- ARGV     this request's id, milliseconds to keep the reply, "until_taken", "until_acked" or
--          "forever", score, member, score, member, ...
-- Reply    the positions (from 0) of the pairs that were new; the same again for the same call
-- Cost     O(k log n) for k members
-- Why      ZADD NX returns how many members were new, not which. If the client repeats it after a
--          lost reply, it returns 0: no call would learn that these members were new
local set, reply_key, held, seen, dead = unpack(KEYS, 1, 5)
local deliveries, letters, undecodable, liveness_key = unpack(KEYS, 6, 9)
local id, keep, unique = ARGV[1], ARGV[2], ARGV[3]
local FIRST = 4

-- Return the mark of a member in the reply key: the member if it has less than 40 bytes, else its
-- SHA1 of 40 characters. So the reply key keeps no large members for minutes.
local function mark_of(member)
  return #member < 40 and member or redis.sha1hex(member)
end

local function admits(member)
  if unique == 'until_taken' then return true end
  if unique == 'forever' and redis.call('SISMEMBER', seen, member) == 1 then return false end
  return redis.call('HEXISTS', held, member) == 0 and not redis.call('ZSCORE', dead, member)
end

if is_gone(liveness_key) then return GONE end
local state, added = recall(reply_key, id)
if state == 'stale' then return {} end
-- If a key has another type, these commands fail before anything is changed. Otherwise a member
-- could be recorded in seen without being added.
redis.call('ZCARD', set)
if unique ~= 'until_taken' then
  redis.call('HLEN', held)
  redis.call('ZCARD', dead)
end
-- If the set's key exists, ZADD keeps its time-to-live, so the other keys need not be read.
local left = redis.call('PTTL', set)
if left == -2 then left = time_left(set, held, seen, dead, deliveries, letters, undecodable) end
local untold, new = {}, {}
for _, mark in ipairs(added) do untold[mark] = true end

for i = FIRST, #ARGV, 2 do
  local member = ARGV[i + 1]
  local mark = mark_of(member)
  if untold[mark] then  -- added by an earlier attempt, and perhaps taken since
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
