-- Remove a set with its companion keys.
--
-- KEYS[1]  the set
-- KEYS[2…] its companion keys, and reply keys
-- Reply    1 if the set's key was there, else 0
-- Cost     O(1); the memory is freed in the background
-- Why      UNLINK removes a key of another type too, which is no set to clear
redis.call('ZCARD', KEYS[1])
local there = redis.call('UNLINK', KEYS[1])
redis.call('UNLINK', unpack(KEYS, 2))
return there
