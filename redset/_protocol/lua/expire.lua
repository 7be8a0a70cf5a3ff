-- Have a set, with all that belongs to it, go after a time, or stay.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it: the reply
-- KEYS[3…] the keys of what belongs to the set, absent last, as leasing.lua has them
-- ARGV     this request's id, milliseconds to keep the reply, then the words of the command after its
--          key: "PEXPIRE", milliseconds; or "PERSIST"
-- Reply    1 if there was a key that this changed, 0 if there was none; also to a repeated call
-- Cost     O(1)
-- Why      between two commands a member could go to a key that has, or keeps, another time-to-live
local reply_key, absent = KEYS[2], KEYS[#KEYS]
local id, keep, command = unpack(ARGV, 1, 3)

local state, words = recall(reply_key, id)
local changed = tonumber(words[1] or 0)
if state == 'duplicate' or state == 'stale' then return changed end
redis.call('ZCARD', KEYS[1])  -- fails for a key that is no set of redset's
-- A write that frees memory, of nothing, so that the reply may be kept when memory is short.
redis.call('ZREM', absent, '')
for place, key in ipairs(KEYS) do
  if place ~= 2 then changed = math.max(changed, redis.call(command, key, unpack(ARGV, 4))) end
end
store_reply(reply_key, id, {string.format('%d', changed)}, keep)
return changed
