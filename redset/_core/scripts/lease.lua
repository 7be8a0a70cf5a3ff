-- Hand out the lowest members until a deadline.
--
-- KEYS     as leasing.lua has them
-- ARGV     this request's id, milliseconds to keep the reply, number of members, highest score,
--          name of the lease, milliseconds until the deadline, deliveries after which a member
--          that comes back is dead (0: never), channel of those that wait
-- Reply    deadline in milliseconds, then member, score, deliveries, member, ... ; for the same
--          call the same again, but for what somebody else has been given since
-- Cost     O(k log n) for k members, and for k whose lease has expired
-- Why      several structures must change as one, by the server's clock
local id, keep, num, highest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local lease, ttl, most, channel = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local now = now_in_milliseconds()
local deadline = string.format('%.0f', now + ttl)

local state, words = recall(reply_key, id)
if state == 'stale' then return {deadline} end
check_types()
if state ~= 'fresh' then
  local reply, still = {deadline}, {}
  for _, member in ipairs(words) do
    local entry = redis.call('HGET', held, member)
    local holder, count, _, score = parts_of(entry)
    if holder == lease and #reply < 3 * num then
      redis.call('ZADD', leased, deadline, member)
      reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = member, score, tostring(count)
      still[#still + 1] = member
    elseif holder == lease then  -- the repeated call asks for fewer
      return_to_ready(member, entry)
    end
  end
  if state == 'duplicate' then return reply end
  store_reply(reply_key, id, still, keep)
  if #reply > 1 then return reply end
end

reclaim(now)
local taken = take_lowest(num, highest)
local counts = {}
if #taken > 0 and redis.call('EXISTS', deliveries) == 1 then
  for i = 1, #taken, 2 do
    counts[i] = redis.call('HGET', deliveries, taken[i])
    if counts[i] then redis.call('HDEL', deliveries, taken[i]) end
  end
  -- What left the set in another way has left its count behind: a few of those go with each call.
  if redis.call('HLEN', deliveries) > redis.call('ZCARD', set) then
    for _, member in ipairs(redis.call('HRANDFIELD', deliveries, 32)) do
      if not redis.call('ZSCORE', set, member) then redis.call('HDEL', deliveries, member) end
    end
  end
end

local members, deadlines, entries, reply = {}, {}, {}, {deadline}
for i = 1, #taken, 2 do
  local member, score = taken[i], taken[i + 1]
  local count = string.format('%d', count_of(counts[i]) + 1)
  members[#members + 1] = member
  deadlines[i], deadlines[i + 1] = deadline, member
  entries[i], entries[i + 1] = member, table.concat({lease, count, most, score}, ' ')
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = member, score, count
end
if #members > 0 then
  tell(channel, deadline, now)
  call_in_parts(deadlines, 2, 'ZADD', leased)
  call_in_parts(entries, 2, 'HSET', held)
end
store_reply(reply_key, id, members, keep)
return reply
