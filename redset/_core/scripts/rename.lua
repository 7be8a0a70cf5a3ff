-- Give a set, also an empty one, another key, where it stays for good.
--
-- KEYS[1]  the set
-- KEYS[2]  its new key; what was there is replaced
-- KEYS[3]  the slot's reply key, as idempotency.lua has it
-- KEYS[4]  the sign of a temporary set, if it is one: deleted
-- ARGV     this request's id, milliseconds to keep the reply
-- Reply    {'size', 1}, or {'expired', 0} if the temporary set is gone
-- Cost     O(1), and O(n) to delete what was there
-- Why      RENAME of an empty set, which has no key, is an error
local id, keep = ARGV[1], ARGV[2]
local state = recall(KEYS[3], id)
if state == 'stale' or state == 'duplicate' then return {'size', 1} end
if KEYS[4] and redis.call('DEL', KEYS[4]) == 0 then return {'expired', 0} end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('RENAME', KEYS[1], KEYS[2])
  if KEYS[4] then redis.call('PERSIST', KEYS[2]) end
else
  redis.call('DEL', KEYS[2])
end
store_reply(KEYS[3], id, {}, keep)
return {'size', 1}
