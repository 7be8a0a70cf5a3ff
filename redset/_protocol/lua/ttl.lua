-- Say how long a set has left to live.
--
-- KEYS[1]  the set
-- KEYS[2…] the keys of what belongs to it
-- Reply    milliseconds; -1 for a set that stays, or has no key
-- Cost     O(1)
-- Why      between two commands the only member could go from one key to another
local left = -1
for _, key in ipairs(KEYS) do
  if left < 0 then left = math.max(left, redis.call('PTTL', key)) end
end
-- What is said must be so also if a plain ZADD made the set anew. A replica that is only read can't.
if left > 0 and redis.call('PTTL', KEYS[1]) == -1 then
  redis.pcall('PEXPIRE', KEYS[1], string.format('%.0f', left))
end
return left
