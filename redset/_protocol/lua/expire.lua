-- Set the time-to-live of a set and of its companion keys, or remove it.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it: the reply
-- KEYS[3…] the companion keys of the set, absent last, as delivering.lua has them
-- ARGV     this request's id, milliseconds to keep the reply, then the command and its words after
--          the key: "PEXPIRE", milliseconds; or "PERSIST"
-- Reply    1 if any key was changed, 0 if none was; the same for a repeated call
-- Cost     O(1)
-- Why      between two commands, a member could move to a key with another time-to-live
local reply_key, absent = KEYS[2], KEYS[#KEYS]
local id, keep, command = unpack(ARGV, 1, 3)

local state, words = recall(reply_key, id)
local changed = tonumber(words[1] or 0)
if state == 'duplicate' or state == 'stale' then return changed end
redis.call('ZCARD', KEYS[1])  -- fails if the key has another type
-- If memory is short, the server stores the reply only after a write that frees memory: this one
-- changes nothing, but counts as such.
redis.call('ZREM', absent, '')
for place, key in ipairs(KEYS) do
  if place ~= 2 then changed = math.max(changed, redis.call(command, key, unpack(ARGV, 4))) end
end
store_reply(reply_key, id, {string.format('%d', changed)}, keep)
return changed
