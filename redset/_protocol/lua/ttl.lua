-- Return how long a set has left to live.
--
-- KEYS[1]  the set
-- KEYS[2…] its companion keys
-- Reply    milliseconds; -1 if the set has no time-to-live, or no key
-- Cost     O(1)
-- Why      between two commands, the only member could move from one key to another
redis.call('ZCARD', KEYS[1])  -- fails if the key has another type
local left = -1
for _, key in ipairs(KEYS) do
  if left < 0 then left = math.max(left, redis.call('PTTL', key)) end
end
-- If a plain ZADD has created the set's key again, the key has no time-to-live: set it, so that the
-- reply is true. A read-only replica refuses that, and replies without it.
if left > 0 and redis.call('PTTL', KEYS[1]) == -1 then
  redis.pcall('PEXPIRE', KEYS[1], string.format('%.0f', left))
end
return left
