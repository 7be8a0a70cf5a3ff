-- Settle members of a lease, or extend it for them.
--
-- KEYS     as delivering.lua has them
-- ARGV     this request's id or '', milliseconds to keep the reply, verb, name of the lease,
--          milliseconds, score or '', channel of waiting consumers, text of an error or '', member,
--          member, ...
--          ack      the members are done, or, if there is a score, ready again at that score
--          release  they are ready again, after the milliseconds, at the score; a member that was
--                   added again since keeps its new score, or has the lower of the two
--          uncounted, suspected   as release, but this delivery doesn't count; the next lease of a
--                   suspected member has no other member
--          reject, undecodable    they are dead, for this reason
--          extend   their deadline becomes now plus the milliseconds
--          renew    as extend, except for members with a later deadline, which keep it
-- Reply    the deadline that was set, or 0, and the positions (from 0) of the members that the
--          lease no longer holds, as words in one string; the same again for the same call, except
--          that a later attempt to extend sets a later deadline
-- Cost     O(k log n) for k members
-- Why      if another consumer has leased a member since, this lease must not settle it
local id, keep, verb, lease, milliseconds = unpack(ARGV, 1, 5)
local score, channel, error = ARGV[6] ~= '' and ARGV[6], ARGV[7], ARGV[8]
local FIRST = 9

-- All attempts of one call ask for the same, so each one gets the reply of the first. But a later
-- attempt to extend a lease means the milliseconds from now on. A member that can't be deserialized
-- is settled without a slot: only its lease can do that, and only once.
local prolongs = verb == 'extend' or verb == 'renew'
if id ~= '' then
  local state, words = recall(reply_key, id)
  if state == 'stale' then return '0' end
  local is_done = state == 'duplicate' or state == 'retry' and not prolongs
  if is_done and words[1] then return words[1] end
end

local ours, entries, answer = {}, {}, {'0'}
for first = FIRST, #ARGV, MAX_ARGUMENTS do
  local last = math.min(first + MAX_ARGUMENTS - 1, #ARGV)
  for place, entry in ipairs(redis.call('HMGET', held, unpack(ARGV, first, last))) do
    local member = ARGV[first + place - 1]
    if entry and string.sub(entry, 1, #lease + 1) == lease .. ' ' then
      ours[#ours + 1], entries[#entries + 1] = member, entry
    else
      answer[#answer + 1] = first + place - 1 - FIRST
    end
  end
end

begin_writing()
local is_short = (verb == 'ack' and not score) or prolongs
local left = is_short and -1 or redis.call('PTTL', held)
if verb == 'ack' then
  if score then
    for _, member in ipairs(ours) do redis.call('ZADD', set, 'LT', score, member) end
  end
  call_in_parts(ours, 1, 'ZREM', leased)
  call_in_parts(ours, 1, 'HDEL', held)
elseif prolongs then
  local now = now_in_milliseconds()
  local deadline = string.format('%.0f', now + milliseconds)
  if #ours > 0 then notify(channel, deadline, now) end
  for _, member in ipairs(ours) do
    if verb == 'renew' then
      redis.call('ZADD', leased, 'GT', deadline, member)
    else
      redis.call('ZADD', leased, deadline, member)
    end
  end
  answer[1] = deadline
else
  check_types()
  local now = now_in_milliseconds()
  local deadline = string.format('%.0f', now + milliseconds)
  local waits = tonumber(milliseconds) > 0
  if waits and #ours > 0 then notify(channel, deadline, now) end
  for place, member in ipairs(ours) do
    local _, count, most, own = parts_of(entries[place])
    if verb == 'uncounted' or verb == 'suspected' then count, most = math.max(count - 1, 0), 0 end
    local alone = verb == 'suspected'
    if verb == 'reject' or verb == 'undecodable' then
      dead_letter(member, own, verb == 'reject' and 'rejected' or verb, now, count, error)
      let_go(member)
    elseif most > 0 and count >= most then
      dead_letter(member, own, 'failed', now, count, error)
      let_go(member)
    elseif waits then
      local entry = entry_of('-', count, most, score or own, now, alone and 'alone' or 'many', '')
      -- The entry with the lease's name is replaced after ZADD: if ZADD is refused, the call can be
      -- repeated.
      redis.call('ZADD', leased, deadline, member)
      redis.call('HSET', held, member, entry)
      redis.call('SADD', delayed, member)
    else
      make_ready(member, score and 'LT' or 'NX', score or own, count, alone)
      let_go(member)
    end
  end
end

inherit(left, set, deliveries, dead, letters, delayed)
answer = table.concat(answer, ' ')
if id ~= '' then store_reply(reply_key, id, {answer}, keep) end
return answer
