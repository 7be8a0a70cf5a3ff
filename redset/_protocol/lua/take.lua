-- Hand out the next members at most once, also when the reply is lost and the call repeated.
--
-- KEYS     as leasing.lua has them, then the sign of a temporary set, if it is one
-- ARGV     this request's id, number of members, highest score, milliseconds to keep the reply,
--          'last' for the highest members instead of the lowest
-- Reply    member, score, member, score, ... , and when the set is to go, in milliseconds of the
--          server's clock, if it is; the same again for the same call. Only "more" if members may be
--          ready that this call could not put right yet. A call for none takes back what its earlier
--          attempts were given, and makes them stale.
-- Cost     O(k log n) for k members, and for those whose lease has expired
-- Why      a ZPOPMIN that the client repeats after a lost reply throws members away
local id, num, highest, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local last = ARGV[5] == 'last'

if is_gone(KEYS[12]) then return GONE end
local state, words = recall(reply_key, id)
if state == 'stale' then return {} end
if state == 'duplicate' then return words end
if #words > 0 then
  -- The repeated call may ask for fewer: what it leaves goes back where it was, and for as long.
  local again, ends = {}, #words % 2 == 1 and table.remove(words)
  local left = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
  if left == -2 and ends then left = math.max(ends - now_in_milliseconds(), 0) end
  for i = 1, #words, 2 do
    if #again < 2 * num then
      again[#again + 1], again[#again + 2] = words[i], words[i + 1]
    else
      redis.call('ZADD', set, 'NX', words[i + 1], words[i])
    end
  end
  inherit(left, set)
  if ends and #again > 0 then again[#again + 1] = ends end
  store_reply(reply_key, id, again, keep)
  return again
end

-- A write that frees memory, so that the others are allowed when memory is short.
redis.call('ZREM', absent, '')
-- Both are rare where nobody leases: asked for together.
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
local taken = num > 0 and next_members(num, highest, last) or {}
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
local failed = remove_next(taken, highest, last)
if failed then
  store_reply(reply_key, id, {}, keep)
  return failed
end
return taken
