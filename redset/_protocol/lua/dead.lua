-- Requeue dead members: make them ready again, at the scores they had. Or discard them.
--
-- KEYS[1]  the set
-- KEYS[2]  dead
-- KEYS[3]  letters, as delivering.lua has it
-- KEYS[4]  held, as delivering.lua has it
-- KEYS[5]  absent, as delivering.lua has it
-- ARGV     "requeue" or "discard", reason or '', for how many milliseconds a member must be dead, the
--          time of the call's first request in milliseconds or '' for the first, score and member
--          that the request before ended at, or '' and '', then member, member, ...; if no members
--          are named, the next 250 of dead
-- Reply    how many were moved; the time of the call's first request; score and member that this
--          request ended at, or '' and '' at the end
-- Cost     O(k log n) for k members
-- Why      between two commands, a member would be in neither key. If a dead member was added again
--          and is on lease, it is not requeued: no second consumer may receive it
local set, dead, letters, held, absent = unpack(KEYS)
local verb, reason, age, began, last_score, last = unpack(ARGV, 1, 6)
local AT_ONCE, FIRST = 250, 7

-- If memory is short, the server allows the other writes only after a write that frees memory:
-- these two change nothing, but count as such. They also fail, as the reads after them do, before
-- anything is changed if the account lacks a right or a key has another type.
redis.call('ZREM', absent, '')
redis.call('HDEL', absent, '')
redis.call('ZCARD', set)
redis.call('HLEN', letters)
local left = redis.call('PTTL', dead)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
began = tonumber(began) or now

-- Return the rank after the member that the request before ended at. Members leave dead and enter
-- it between two requests, so the rank of that time may be another member's now.
local function next_rank()
  if last_score == '' then return 0 end
  local score = redis.call('ZSCORE', dead, last)
  if not score then
    redis.call('ZADD', dead, last_score, last)
    local rank = redis.call('ZRANK', dead, last)
    redis.call('ZREM', dead, last)
    return rank
  end
  if tonumber(score) == tonumber(last_score) then return redis.call('ZRANK', dead, last) + 1 end
  return redis.call('ZCOUNT', dead, '-inf', '(' .. last_score)
end

local members, pairs_of_page = {unpack(ARGV, FIRST)}, {}
local all = #members == 0

-- A member that died since the call began is left for the next call, unless it is named: it may be
-- one that this call has requeued. If the server's clock was set back, the time of a member may be
-- to come.
local function is_meant(why, died)
  if reason ~= '' and why ~= reason then return false end
  if age ~= '0' then return died <= began - age end
  return not all or died <= began or died > now
end

if all then
  local first = next_rank()
  pairs_of_page = redis.call('ZRANGE', dead, first, first + AT_ONCE - 1, 'WITHSCORES')
  for i = 1, #pairs_of_page, 2 do members[#members + 1] = pairs_of_page[i] end
end

local moved = 0
for _, member in ipairs(members) do
  local score = redis.call('ZSCORE', dead, member)
  local why, died = string.match(redis.call('HGET', letters, member) or '', '^(%S+) (%d+) ')
  local chosen = score and is_meant(why, tonumber(died or 0))
  if chosen and verb == 'requeue' then
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
  end
end
inherit(left, set)
local is_end = #pairs_of_page < 2 * AT_ONCE
local ends_at = is_end and {'', ''} or {pairs_of_page[2 * AT_ONCE], pairs_of_page[2 * AT_ONCE - 1]}
return {moved, string.format('%.0f', began), unpack(ends_at)}
