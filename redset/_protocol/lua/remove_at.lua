-- Remove the members of consecutive ranks, or those at each step; a repeated call removes no others.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it
-- KEYS[3]  the liveness key of a temporary set, if it is one
-- ARGV     this request's id, milliseconds to keep the reply, first rank, last rank, step; negative
--          ranks count from the end, and so do the steps of a negative step
-- Reply    how many were removed, by this request or an earlier attempt of its call
-- Cost     O(log n + k) for k members
-- Why      if the client repeats ZREMRANGEBYRANK after a lost reply, it removes other members
local set, reply_key = KEYS[1], KEYS[2]
local id, keep, first, last = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local step = tonumber(ARGV[5])
local AT_ONCE = 1000

if is_gone(KEYS[3]) then return GONE end
local state, words = recall(reply_key, id)
if state == 'stale' then return 0 end
local removed = tonumber(words[1] or 0)
if state == 'duplicate' then return removed end
-- If memory is short, the server stores the reply only after a write that frees memory: this one
-- changes nothing, but counts as such.
redis.call('ZREMRANGEBYRANK', set, 1, 0)
if removed == 0 then
  local size = redis.call('ZCARD', set)
  if first < 0 then first = math.max(first + size, 0) end
  last = last < 0 and last + size or math.min(last, size - 1)
  removed = math.ceil(math.max(last - first + 1, 0) / math.abs(step))
  store_reply(reply_key, id, {string.format('%d', removed)}, keep)
  if removed > 0 and math.abs(step) == 1 then
    redis.call('ZREMRANGEBYRANK', set, first, last)
  else
    -- From the end, so that the ranks of those that are left to remove stay the same.
    if step > 0 then last = first + (removed - 1) * step end
    step = math.abs(step)
    for part = 0, removed - 1, AT_ONCE do
      local members = {}
      for i = part, math.min(part + AT_ONCE, removed) - 1 do
        members[#members + 1] = redis.call('ZRANGE', set, last - i * step, last - i * step)[1]
      end
      redis.call('ZREM', set, unpack(members))
    end
  end
else
  store_reply(reply_key, id, words, keep)
end
return removed
