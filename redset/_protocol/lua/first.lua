end

-- Deliver members of the first of several sets that has something, in the order of the sets.
--
-- KEYS     the keys of each set, as delivering.lua has them
-- ARGV     six numbers that describe the rest: the number of sets, and of words for each set; the
--          place of the request's id in these words, and the place of the number of members; how
--          many words of a recorded reply, and of a reply, are no members. Then the place of the
--          set of an earlier lease that has members to acknowledge, or 0; the words for each set;
--          those members
-- Reply    the place of the set that answered, or 0 if no set has anything; the positions of the
--          members that the earlier lease no longer holds; the reply of that set
-- Cost     that of the script for one set, and O(1) for each set before it
-- Why      the server finds the first set that has something at one moment
local FIRST = 8
local shape = {}
for i = 1, FIRST - 1 do shape[i] = tonumber(ARGV[i]) end
local number, width, id_at, num_at, idle, base, done = unpack(shape)
local keys_each = #KEYS / number

local lost, acknowledged = '', done == 0

local function ask(place, num)
  local keys = {unpack(KEYS, (place - 1) * keys_each + 1, place * keys_each)}
  local first = FIRST + (place - 1) * width
  local words = {unpack(ARGV, first, first + width - 1)}
  if num then words[num_at] = num end
  if place == done then
    for i = FIRST + number * width, #ARGV do words[#words + 1] = ARGV[i] end
  end
  local reply = deliver(keys, words)
  if place == done and not reply.err then acknowledged, lost = true, reply[2] end
  return reply
end

-- A copy of a request that arrives after a later request changes no set: the later one may have
-- reached only some sets. If an earlier attempt took something, from any set, the reply is that: it
-- is recorded for this call, and only for a limited time.
local has_reply = {}
for place = 1, number do
  local state, words =
    recall(KEYS[(place - 1) * keys_each + 2], ARGV[FIRST + (place - 1) * width + id_at - 1])
  if state == 'stale' then return {0, '', {}} end
  has_reply[place] = #words > idle
end

-- The first pass asks for no more than the recorded reply: members that its lease no longer holds
-- are not replaced by others of a set that may come last.
for pass = 1, 2 do
  for place = 1, number do
    if pass == 2 or has_reply[place] then
      local wanted = ARGV[FIRST + (place - 1) * width + num_at - 1]
      local reply = ask(place, pass == 1 and '-' .. wanted)
      if reply.err then return reply end
      if #reply > base or reply[base] == 'more' then
        -- If the set of the earlier lease comes after this set, it is asked for 0 members, so that
        -- it only acknowledges.
        local other = acknowledged and {} or ask(done, '0')
        if other.err then return other end
        return {place, lost, reply}
      end
    end
  end
end
return {0, lost, {}}
