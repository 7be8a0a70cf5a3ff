-- Remove members, whether they are ready, on lease, delayed or dead.
--
-- KEYS[1]  the set
-- KEYS[2]  leased, held, deliveries, dead, letters and delayed follow, as delivering.lua has them
-- ARGV     member, member, ...
-- Reply    how many of the members were found in any of these keys
-- Cost     O(k log n) for k members
-- Why      between two commands, a member may move from one key to another
local set, leased, held, deliveries, dead, letters, delayed = unpack(KEYS)
local found = 0
for _, member in ipairs(ARGV) do
  local places = redis.call('ZREM', set, member) + redis.call('ZREM', leased, member)
    + redis.call('ZREM', dead, member)
  redis.call('HDEL', held, member)
  redis.call('HDEL', deliveries, member)
  redis.call('HDEL', letters, member)
  redis.call('SREM', delayed, member)
  if places > 0 then found = found + 1 end
end
return found
