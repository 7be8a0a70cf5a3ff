-- Move a member, with its score, to another set of this server, or replace it by another member.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it: the score it had
-- KEYS[3]  absent, as delivering.lua has it
-- KEYS[4]  the set to move it to, which may be the same
-- KEYS[5]  the liveness key of a temporary set, if KEYS[1] is one
-- ARGV     this request's id, milliseconds to keep the reply, the member, the member it becomes,
--          which score wins if that member is there already: keep, replace, min, max or sum
-- Reply    the score that the member had, false if it was not in the set
-- Cost     O(log n)
-- Why      between two commands, the member would be in both sets or in neither
local set, reply_key, absent, target = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, keep, member, becomes, conflict = unpack(ARGV)

if is_gone(KEYS[5]) then return GONE end
local state, words = recall(reply_key, id)
if state == 'stale' or state == 'duplicate' then return words[1] or false end
local score = redis.call('ZSCORE', set, member)
-- If a key has another type or a right is missing, these fail before anything is changed. The
-- second counts as a write that frees memory: after it, the server allows the others if memory is
-- short.
redis.call('ZCARD', target)
redis.call('ZREM', absent, '')
if not score then
  store_reply(reply_key, id, words, keep)
  return words[1] or false  -- an earlier attempt may have moved it
end
local stays = set == target and member == becomes
if not stays then set_score(target, conflict, score, becomes) end
store_reply(reply_key, id, {score}, keep)
if not stays then redis.call('ZREM', set, member) end
return score
