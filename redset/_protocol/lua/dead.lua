-- Make dead members ready again, at the scores they had, or forget them.
--
-- KEYS[1]  the set
-- KEYS[2]  dead
-- KEYS[3]  letters, as leasing.lua has it
-- KEYS[4]  held, as leasing.lua has it
-- KEYS[5]  absent, as leasing.lua has it
-- ARGV     "requeue" or "discard", how many members of dead to pass over, reason or '', highest
--          milliseconds of the burial or '', member, member, ...; without members, the next 250
-- Reply    how many were moved, and how many were passed over, those before included; -1 at the end
-- Cost     O(k log n) for k members
-- Why      a member must never be in neither of the two; who has a member on lease that was added
--          again shall be the only one that does
local set, dead, letters, held, absent = unpack(KEYS)
local requeues, passed, reason, before = ARGV[1] == 'requeue', tonumber(ARGV[2]), ARGV[3], ARGV[4]
local AT_ONCE = 250

-- Writes that free memory, so that the others are allowed when it is short; and rights and types.
redis.call('ZREM', absent, '')
redis.call('HDEL', absent, '')
redis.call('ZCARD', set)
redis.call('HLEN', letters)
local left = redis.call('PTTL', dead)
local members = {unpack(ARGV, 5)}
local all = #members == 0
if all then members = redis.call('ZRANGE', dead, passed, passed + AT_ONCE - 1) end

local moved = 0
for _, member in ipairs(members) do
  local score = redis.call('ZSCORE', dead, member)
  local why, time = string.match(redis.call('HGET', letters, member) or '', '^(%S+) (%d+) ')
  local chosen = score and (reason == '' or why == reason)
  if before ~= '' then chosen = chosen and tonumber(time or 0) <= tonumber(before) end
  if chosen and requeues then
    if redis.call('HEXISTS', held, member) == 1 then
      chosen = false
    else
      redis.call('ZADD', set, 'NX', score, member)
    end
  end
  if chosen then
    redis.call('ZREM', dead, member)
    redis.call('HDEL', letters, member)
    moved = moved + 1
  else
    passed = passed + 1
  end
end
inherit(left, set)
return {moved, all and #members == AT_ONCE and passed or -1}
