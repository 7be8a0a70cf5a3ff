-- Deliver the next members at most once, also if the reply is lost and the call is repeated.
--
-- KEYS     as leasing.lua has them, then the liveness key of a temporary set, if it is one
-- ARGV     milliseconds to keep the reply, number of members, 'last' for the highest members instead
--          of the lowest, or '', this request's id, highest score that is due
-- Reply    member, score, member, score, ... , and if the set has a time-to-live, when it expires,
--          in milliseconds of the server's clock; the same again for the same call. Only "more" if
--          none is due, but more expired leases are left to reclaim. A call for 0 members puts the
--          members that its earlier attempts took back into the set, and makes these attempts
--          stale.
-- Cost     O(k log n) for k members, and for those whose lease has expired
-- Why      if the client repeats ZPOPMIN after a lost reply, the first members are lost
local keep, num, last = ARGV[1], math.abs(tonumber(ARGV[2])), ARGV[3] == 'last'
local id, max_due_score = ARGV[4], ARGV[5]

if is_gone(KEYS[12]) then return GONE end
local state, words = recall(reply_key, id)
if state == 'stale' then return {} end
if state == 'duplicate' then return words end
-- If memory is short, the server allows the other writes only after a write that frees memory: this
-- one changes nothing, but counts as such.
redis.call('ZREM', absent, '')
if #words > 0 then
  -- If the repeated call asks for fewer, the other members are returned to the set, with their
  -- scores and the set's time-to-live.
  local repeated, ends = {}, #words % 2 == 1 and table.remove(words)
  local left = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
  if left == -2 and ends then left = math.max(ends - now_in_milliseconds(), 0) end
  for i = 1, #words, 2 do
    if #repeated < 2 * num then
      repeated[#repeated + 1], repeated[#repeated + 2] = words[i], words[i + 1]
    else
      redis.call('ZADD', set, 'NX', words[i + 1], words[i])
    end
  end
  inherit(left, set)
  if ends and #repeated > 0 then repeated[#repeated + 1] = ends end
  store_reply(reply_key, id, repeated, keep)
  return repeated
end

-- If the set is used without leases, neither key exists: one command checks both.
local more, any_leases = false, redis.call('EXISTS', leased, deliveries) > 0
local left
if any_leases then
  left = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
  begin_writing()
  more = reclaim(now_in_milliseconds())
  inherit(left, set, deliveries, dead, letters)
else
  left = redis.call('PTTL', set)
end
local taken = num > 0 and next_members(num, max_due_score, last) or {}
if #taken == 0 and more then return {'more'} end
if any_leases then
  local members = {}
  for i = 1, #taken, 2 do members[#members + 1] = taken[i] end
  call_in_parts(members, 1, 'HDEL', deliveries)
end
if left >= 0 and #taken > 0 then
  taken[#taken + 1] = string.format('%.0f', now_in_milliseconds() + left)
end
store_reply(reply_key, id, taken, keep)
if #taken == 0 then return taken end
local failed = remove_next(taken, max_due_score, last)
if failed then
  store_reply(reply_key, id, {}, keep)
  return failed
end
return taken
