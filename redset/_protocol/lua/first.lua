end

-- Hand out from the first of several sets that has something, in the order in which they are given.
--
-- KEYS     those of each set, as leasing.lua has them
-- ARGV     the shape of what follows, in six numbers: how many sets there are, and words for each;
--          which of these is the request's id, and which the number of members; how many words of a
--          recorded reply, and of a reply, hand nothing out. Then the place of the set that an
--          earlier lease is of, whose members are done, or 0; the words for each set; those members
-- Reply    the place of the set that the reply is of, or 0 if no set has anything; the positions of
--          the members that the earlier lease doesn't hold any more; the reply of that set
-- Cost     that of the script for one set, and O(1) for each set before it
-- Why      which set is the first to have something is known to the server, at one moment
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
  local reply = hand_out(keys, words)
  if place == done and not reply.err then acknowledged, lost = true, reply[2] end
  return reply
end

-- A copy of a request that comes after a later one does nothing, in no set: it may have reached only
-- some of them. What an earlier attempt was given comes first, from whichever set: it is kept for
-- that call, and not for ever.
local given = {}
for place = 1, number do
  local state, words =
    recall(KEYS[(place - 1) * keys_each + 2], ARGV[FIRST + (place - 1) * width + id_at - 1])
  if state == 'stale' then return {0, '', {}} end
  given[place] = #words > idle
end

for pass = 1, 2 do
  for place = 1, number do
    if pass == 2 or given[place] then
      local reply = ask(place)
      if reply.err then return reply end
      if #reply > base or reply[base] == 'more' then
        -- The set of the earlier lease comes after this one: it is asked for nothing.
        local other = acknowledged and {} or ask(done, '0')
        if other.err then return other end
        return {place, lost, reply}
      end
    end
  end
end
return {0, lost, {}}
