-- End the hold of one lease on its members, or prolong it.
--
-- KEYS     as leasing.lua has them
-- ARGV     this request's id or '', milliseconds to keep the reply, verb, name of the lease,
--          milliseconds, score or '', channel of those that wait, member, member, ...
--          ack      the members are done
--          release  they are ready again, after so many milliseconds, at the score
--          release uncounted   the same, and this delivery doesn't count
--          bury     they are dead
--          extend   they are held for so many milliseconds from now
-- Reply    the positions (from 0) of the members that the lease doesn't hold any more, as words
--          in one string; the same again for the same call
-- Cost     O(k log n) for k members
-- Why      a member that somebody else has been given since must stay his
local id, keep, verb, lease, milliseconds = unpack(ARGV, 1, 5)
local score, channel = ARGV[6] ~= '' and ARGV[6], ARGV[7]
local FIRST = 8
local uncounted = verb == 'release uncounted'
if uncounted then verb = 'release' end

-- All attempts of one call say the same, so each is answered as the first was. An item that can't be
-- deserialized is buried without a slot: only this lease may do it, and once.
if id ~= '' then
  local state, words = recall(reply_key, id)
  if state == 'stale' then return '' end
  if state ~= 'fresh' and words[1] then return words[1] end
end

local ours, entries, lost = {}, {}, {}
for first = FIRST, #ARGV, MOST_ARGUMENTS do
  local last = math.min(first + MOST_ARGUMENTS - 1, #ARGV)
  for place, entry in ipairs(redis.call('HMGET', held, unpack(ARGV, first, last))) do
    local member = ARGV[first + place - 1]
    if entry and string.sub(entry, 1, #lease + 1) == lease .. ' ' then
      ours[#ours + 1], entries[#entries + 1] = member, entry
    else
      lost[#lost + 1] = first + place - 1 - FIRST
    end
  end
end

if verb ~= 'ack' then check_types() end
if verb == 'ack' then
  call_in_parts(ours, 1, 'ZREM', leased)
  call_in_parts(ours, 1, 'HDEL', held)
elseif verb == 'extend' or (verb == 'release' and tonumber(milliseconds) > 0) then
  local now = now_in_milliseconds()
  local deadline = string.format('%.0f', now + milliseconds)
  if #ours > 0 then tell(channel, deadline, now) end
  for place, member in ipairs(ours) do
    redis.call('ZADD', leased, deadline, member)
    if verb == 'release' then
      local _, count, most, own = parts_of(entries[place], uncounted)
      local entry = table.concat({'-', count, most, score or own}, ' ')
      redis.call('HSET', held, member, entry)
    end
  end
elseif verb == 'release' then
  for place, member in ipairs(ours) do return_to_ready(member, entries[place], score, uncounted) end
else
  for place, member in ipairs(ours) do
    local _, _, _, own = parts_of(entries[place])
    redis.call('ZADD', dead, own, member)
    redis.call('ZREM', leased, member)
    redis.call('HDEL', held, member)
  end
end

local answer = table.concat(lost, ' ')
if id ~= '' then store_reply(reply_key, id, {answer}, keep) end
return answer
