-- Requeue dead members: make them ready again, at the scores they had. Or discard them.
--
-- KEYS[1]  the set
-- KEYS[2]  dead
-- KEYS[3]  letters, as leasing.lua has it
-- KEYS[4]  held, as leasing.lua has it
-- KEYS[5]  absent, as leasing.lua has it
-- ARGV     "requeue" or "discard", how many members of dead to pass over, reason or '', the latest
--          time (in milliseconds) at which a member died or '', member, member, ...; if no members
--          are named, the next 250 of dead
-- Reply    how many were moved, and how many were passed over by this call and those before; -1 at
--          the end
-- Cost     O(k log n) for k members
-- Why      between two commands, a member would be in neither key. If a dead member was added again
--          and is on lease, it is not requeued: no second consumer may receive it
local set, dead, letters, held, absent = unpack(KEYS)
local requeues, passed, reason, before = ARGV[1] == 'requeue', tonumber(ARGV[2]), ARGV[3], ARGV[4]
local AT_ONCE = 250

-- If memory is short, the server allows the other writes only after a write that frees memory:
-- these two change nothing, but count as such. They also fail, as the reads after them do, before
-- anything is changed if the account lacks a right or a key has another type.
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
