-- Deliver the next members at most once, also if the reply is lost and the call is repeated.
--
-- KEYS     as delivering.lua has them, then the liveness key of a temporary set, if it is one
-- ARGV     milliseconds to keep the reply, number of members, 'last' for the highest members instead
--          of the lowest, or '', this request's id, highest score that is due
-- Reply    member, score, member, score, ... , and if the set has a time-to-live, when it expires,
--          in milliseconds of the server's clock; the same again for the same call. Only "more" if
--          none is due, but more expired leases are left to reclaim. A call for 0 members puts the
--          members that its earlier attempts took back into the set, and makes these attempts
--          stale.
-- Cost     O(k log n) for k members, and for those whose lease has expired
-- Why      if the client repeats ZPOPMIN after a lost reply, the first members are lost
if #words > 0 then
  -- If memory is short, the server allows the other writes only after a write that frees memory:
  -- this one changes nothing, but counts as such.
  redis.call('ZREM', absent, '')
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

-- Otherwise a member is on lease, or has a delivery count.
local left = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
begin_writing()
local more = reclaim(now_in_milliseconds())
inherit(left, set, deliveries, dead, letters)
return take_next(left, more, function(taken)
  local members = {}
  for i = 1, #taken, 2 do members[#members + 1] = taken[i] end
  call_in_parts(members, 1, 'HDEL', deliveries)
end)
