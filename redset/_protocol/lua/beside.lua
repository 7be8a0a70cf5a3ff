-- Write to a key that exists, without changing it; continue with fence.lua if it doesn't exist.
--
-- KEYS[1]  the key of a change, of any type
-- Reply    1
-- Cost     O(1)
-- Why      While the keys of a slot are being moved one by one, the node that they leave refuses
--          commands for keys that it doesn't have, such as that of fence.lua. A time-to-live is
--          replicated also if it is set to what it is, or set and taken away again.
local left = redis.call('PTTL', KEYS[1])
if left == -1 then
  redis.call('PEXPIRE', KEYS[1], 1000000)
  redis.call('PERSIST', KEYS[1])
  return 1
elseif left >= 0 then
  redis.call('PEXPIRE', KEYS[1], math.max(left, 1))
  return 1
end

