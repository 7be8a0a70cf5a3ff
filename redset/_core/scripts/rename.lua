-- Give a set, also an empty one, another key, where it stays for good.
--
-- KEYS[1]  the set
-- KEYS[2]  its new key; what was there is replaced
-- KEYS[3]  what the caller was answered last, for a call whose reply is lost and that is repeated
-- KEYS[4]  the sign of a temporary set, if it is one: deleted
-- ARGV     token of this call, milliseconds to keep the answer to it
-- Reply    {'size', 1}, or {'expired', 0} if the temporary set is gone
-- Cost     O(1), and O(n) to delete what was there
-- Why      RENAME of an empty set, which has no key, is an error
local token, keep = ARGV[1], ARGV[2]
if redis.call('GET', KEYS[3]) == token then return {'size', 1} end
if KEYS[4] and redis.call('DEL', KEYS[4]) == 0 then return {'expired', 0} end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('RENAME', KEYS[1], KEYS[2])
  if KEYS[4] then redis.call('PERSIST', KEYS[2]) end
else
  redis.call('DEL', KEYS[2])
end
redis.call('SET', KEYS[3], token, 'PX', keep)
return {'size', 1}
