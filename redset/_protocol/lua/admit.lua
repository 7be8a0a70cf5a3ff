-- Add members, but for those that have to stay out while they are on lease or dead, or for good.
--
-- KEYS[1]  the set
-- KEYS[2]  held, as leasing.lua has it
-- KEYS[3]  seen: a set of all members that were ever admitted, if they are unique for good
-- KEYS[4]  dead; deliveries, letters and undecodable follow, as leasing.lua has them
-- ARGV     "forever" or "until_acked", whose score wins where two meet, score, member, score, ...
-- Reply    the score that the last member has, false if it was refused; an error, before anything
--          was changed, for a sum of inf and -inf
-- Cost     O(k log n) for k members
-- Why      ZADD knows nothing of what left the set a moment ago
local set, held, seen, dead, deliveries, letters, undecodable = unpack(KEYS)
local forever, conflict = ARGV[1] == 'forever', ARGV[2]
local kept = false

-- These fail before anything is changed if a key is of another type: a member must not be seen and
-- never added.
redis.call('ZCARD', set)
redis.call('HLEN', held)
redis.call('ZCARD', dead)
-- A set that has members is not made anew, so that it alone has to be asked.
local left = redis.call('PTTL', set)
if left == -2 then left = time_left(set, held, seen, dead, deliveries, letters, undecodable) end

local function refuses(member)
  return not redis.call('ZSCORE', set, member) and (redis.call('HEXISTS', held, member) == 1
    or redis.call('ZSCORE', dead, member) or forever and redis.call('SISMEMBER', seen, member) == 1)
end

-- ZINCRBY would refuse such a sum when the members before it have changed.
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
