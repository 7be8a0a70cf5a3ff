-- Lease the next members until a deadline, and acknowledge members of an earlier lease.
--
-- KEYS     as delivering.lua has them
-- ARGV     milliseconds to keep the reply, milliseconds until the deadline, number of members (0:
--          only acknowledge; negative: only those of an earlier attempt), deliveries after which a
--          member that is not acknowledged is dead (0: never), channel of waiting consumers, the
--          worker's name, 'last' for the highest members instead of the lowest or '', this request's
--          id, highest score that is due, name of the lease, name of the earlier lease, member to
--          acknowledge, member, ...
-- Reply    deadline in milliseconds, the positions (from 0) of the members that the earlier lease
--          no longer holds as words in one string, "more" if another request of the call may find
--          members of expired leases that this one did not reclaim yet, then member, score,
--          deliveries, member, ... ; the same again for the same call, except members that another
--          consumer has leased since
-- Cost     O(k log n) for k members, and for those whose lease has expired
-- Why      several keys must change at one moment, by the server's clock
local keep, ttl, num, most, channel, worker, last = unpack(ARGV, 1, 7)
local id, max_due_score, lease, earlier = unpack(ARGV, 8, 11)
local only_again = tonumber(num) < 0
num, last = math.abs(tonumber(num)), last == 'last'
local FIRST = 12
local now = now_in_milliseconds()
local deadline = string.format('%.0f', now + ttl)

local state, words = recall(reply_key, id)
if state == 'stale' then return {deadline, '', ''} end
local left, all_ready = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
-- If an earlier attempt has acknowledged the same members, its answer is repeated.
local lost = words[1] == earlier and words[2] or ''
local ours, places = {}, {}
if words[1] ~= earlier and ARGV[FIRST] then
  for place, entry in ipairs(redis.call('HMGET', held, unpack(ARGV, FIRST))) do
    if entry and string.sub(entry, 1, #earlier + 1) == earlier .. ' ' then
      ours[#ours + 1] = ARGV[FIRST + place - 1]
    else
      places[#places + 1] = place - 1
    end
  end
  lost = table.concat(places, ' ')
end
if #ours > 0 then
  redis.call('HDEL', absent, '')  -- if the account may not use HDEL, fail before the first change
  redis.call('ZREM', leased, unpack(ours))
  redis.call('HDEL', held, unpack(ours))
else
  begin_writing()
end
if state ~= 'fresh' then
  check_types()
  local reply, still = {deadline, lost, ''}, {earlier, lost}
  for i = 3, #words do
    local member = words[i]
    local entry = redis.call('HGET', held, member)
    local holder, count, _, score = parts_of(entry)
    if holder == lease and #still < num + 2 then
      redis.call('ZADD', leased, deadline, member)
      reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = member, score, tostring(count)
      still[#still + 1] = member
    elseif holder == lease then  -- the repeated call asks for fewer
      make_ready(member, 'NX', score, math.max(count - 1, 0))
      let_go(member)
    end
  end
  inherit(left, set, deliveries)
  if state == 'duplicate' then
    if #still == 2 then reply[3] = 'more' end
    return reply
  end
  store_reply(reply_key, id, still, keep)
  if #still > 2 or num == 0 or only_again then return reply end
elseif num == 0 then
  store_reply(reply_key, id, {earlier, lost}, keep)
  return {deadline, lost, ''}
end

local more = not all_ready and reclaim(now)
inherit(left, set, deliveries, dead, letters)
local taken, counts = nil, {}
if all_ready or redis.call('EXISTS', deliveries) == 0 then
  taken = next_members(num, max_due_score, last)
else
  taken = next_members(1, max_due_score, last)
  local first = taken[1] and redis.call('HGET', deliveries, taken[1]) or ''
  if num > 1 and not string.find(first, 'alone', 1, true) then
    taken = next_members(num, max_due_score, last)
  end
  local members = {}
  for i = 1, #taken, 2 do members[#members + 1] = taken[i] end
  if #members > 0 then counts = redis.call('HMGET', deliveries, unpack(members)) end
  for i = 2, #members do
    if string.find(counts[i] or '', 'alone', 1, true) then
      for place = #taken, 2 * i - 1, -1 do taken[place] = nil end
      break
    end
  end
end

local deadlines, entries, known, reply = {}, {}, {}, {deadline, lost, ''}
words = {earlier, lost}
for i = 1, #taken, 2 do
  local member, score = taken[i], taken[i + 1]
  local before = counts[(i + 1) / 2]
  local count = before and count_of(string.gsub(before, ' alone$', '')) + 1 or 1
  deadlines[i], deadlines[i + 1] = deadline, member
  entries[i] = member
  entries[i + 1] = entry_of(lease, count, most, score, now, #taken == 2 and 'alone' or 'many', worker)
  if before then known[#known + 1] = member end
  words[#words + 1] = member
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = member, score, string.format('%d', count)
end
store_reply(reply_key, id, words, keep)
if #taken == 0 then
  if more then reply[3] = 'more' end
  return reply
end

-- A member may have been added again during its delay, which ends with this lease.
if not all_ready and redis.call('EXISTS', delayed) == 1 then
  redis.call('SREM', delayed, unpack(words, 3))
end

-- The members are removed from the set last. If HSET or the removal is not allowed, the steps
-- before are undone.
notify(channel, deadline, now)
redis.call('ZADD', leased, unpack(deadlines))
local failed = redis.pcall('HSET', held, unpack(entries))
failed = type(failed) == 'table' and failed.err and failed or remove_next(taken, max_due_score, last)
if failed then
  redis.call('ZREM', leased, unpack(words, 3))
  redis.call('HDEL', held, unpack(words, 3))
  store_reply(reply_key, id, {earlier, lost}, keep)
  return failed
end
inherit(left, leased, held)
if #known > 0 then redis.call('HDEL', deliveries, unpack(known)) end
-- A member that left the set without a lease leaves its delivery count behind: each call deletes a
-- few of these.
if #counts > 0 and redis.call('HLEN', deliveries) > redis.call('ZCARD', set) then
  for _, member in ipairs(redis.call('HRANDFIELD', deliveries, 32)) do
    if not redis.call('ZSCORE', set, member) then redis.call('HDEL', deliveries, member) end
  end
end
return reply
