-- Add amounts to the scores of members; a member that is not in the set begins at 0.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it
-- KEYS[3]  the liveness key of a temporary set, if it is one
-- ARGV     this request's id, milliseconds to keep the reply, amount, member, amount, member, ...
-- Reply    1; an error, before anything is changed, for a sum of inf and -inf
-- Cost     O(k log n) for k members
-- Why      ZINCRBY changes one member, and changes it twice if the client repeats it after a lost
--          reply
local set, reply_key = KEYS[1], KEYS[2]
local id, keep = ARGV[1], ARGV[2]

if is_gone(KEYS[3]) then return GONE end
local state = recall(reply_key, id)
if state == 'duplicate' or state == 'stale' then return 1 end

local totals = {}
for i = 3, #ARGV, 2 do
  local amount, member = tonumber(ARGV[i]), ARGV[i + 1]
  local total = (totals[member] or tonumber(redis.call('ZSCORE', set, member) or 0)) + amount
  if total ~= total then return redis.error_reply('ERR resulting score is not a number (NaN)') end
  totals[member] = total
end
for member, total in pairs(totals) do
  redis.call('ZADD', set, string.format('%.17g', total), member)
end
store_reply(reply_key, id, {}, keep)
return 1
