-- Add members, except those that the set's `unique` policy rejects: members on lease or dead, and
-- with "forever" all members that were ever added.
--
-- KEYS[1]  the set
-- KEYS[2]  held, as delivering.lua has it
-- KEYS[3]  seen: a set of all members that were ever added, if they are unique "forever"
-- KEYS[4]  dead; deliveries, letters and undecodable follow, as delivering.lua has them
-- ARGV     "forever" or "until_acked", which score wins for a member that has one (keep, replace,
--          min, max or sum), score, member, score, ...
-- Reply    the score of the last member afterwards, false if it was rejected; an error, before
--          anything is changed, for a sum of inf and -inf
-- Cost     O(k log n) for k members
-- Why      ZADD can't check the companion keys, and between two commands a member may leave the set
local set, held, seen, dead, deliveries, letters, undecodable = unpack(KEYS)
local forever, conflict = ARGV[1] == 'forever', ARGV[2]
local kept = false

-- If a key has another type, these commands fail before anything is changed. Otherwise a member
-- could be recorded in seen without being added.
redis.call('ZCARD', set)
redis.call('HLEN', held)
redis.call('ZCARD', dead)
-- If the set's key exists, ZADD keeps its time-to-live, so the other keys need not be read.
local left = redis.call('PTTL', set)
if left == -2 then left = time_left(set, held, seen, dead, deliveries, letters, undecodable) end

local function refuses(member)
  return not redis.call('ZSCORE', set, member) and (redis.call('HEXISTS', held, member) == 1
    or redis.call('ZSCORE', dead, member) or forever and redis.call('SISMEMBER', seen, member) == 1)
end

-- ZINCRBY would refuse a sum of inf and -inf too, but only after earlier members have changed.
if conflict == 'sum' then
  local sums = {}
  for i = 3, #ARGV, 2 do
    local score, member = number_of(ARGV[i]), ARGV[i + 1]
    if not refuses(member) then
      local sum = (sums[member] or number_of(redis.call('ZSCORE', set, member) or '0')) + score
      if sum ~= sum then
        return redis.error_reply('ERR resulting score is not a number (NaN)')
      end
      sums[member] = sum
    end
  end
end

for i = 3, #ARGV, 2 do
  local score, member = ARGV[i], ARGV[i + 1]
  kept = false
  if not refuses(member) then
    set_score(set, conflict, score, member)
    kept = redis.call('ZSCORE', set, member)
  end
  if forever then redis.call('SADD', seen, member) end
end
inherit(left, set, seen)
return kept
