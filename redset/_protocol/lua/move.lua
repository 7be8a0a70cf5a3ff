-- Move a member, with its score, to another set of this server, or put another in its place.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it: the score it had
-- KEYS[3]  absent, as leasing.lua has it
-- KEYS[4]  the set that it goes to, which may be the same
-- KEYS[5]  the sign of a temporary set, if KEYS[1] is one
-- ARGV     this request's id, milliseconds to keep the reply, the member, the member it becomes,
--          whose score wins if that is there: keep, replace, min, max or sum
-- Reply    the score it had, false if it was not there
-- Cost     O(log n)
-- Why      between two commands it would be in both sets or in none
local set, reply_key, absent, target = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, keep, member, becomes, conflict = unpack(ARGV)

if is_gone(KEYS[5]) then return GONE end
local state, words = recall(reply_key, id)
if state == 'stale' or state == 'duplicate' then return words[1] or false end
local score = redis.call('ZSCORE', set, member)
-- These fail before anything is changed; the second is a write that frees memory, of nothing.
redis.call('ZCARD', target)
redis.call('ZREM', absent, '')
if not score then
  store_reply(reply_key, id, words, keep)
  return words[1] or false  -- perhaps an earlier attempt has moved it
end
local stays = set == target and member == becomes
if not stays then set_score(target, conflict, score, becomes) end
store_reply(reply_key, id, {score}, keep)
if not stays then redis.call('ZREM', set, member) end
return score
