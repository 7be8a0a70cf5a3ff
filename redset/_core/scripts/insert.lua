-- Add the members that are not there; leave the others, and their scores, as they are.
--
-- KEYS[1]  the set
-- KEYS[2]  what was new in this caller's last call: its token, a space and the members, packed
-- KEYS[3]  held, as leasing.lua has it
-- KEYS[4]  seen, as admit.lua has it
-- ARGV     token of this call, milliseconds to keep the list, "until_taken", "until_done" or
--          "for_good", score, member, score, member, ...
-- Reply    the positions (from 0) of the pairs that were new; the same again for the same token
-- Cost     O(k log n) for k members
-- Why      ZADD NX says how many were new, not which, and of a call that the client repeats after
--          a lost reply that none was: such members would be new to nobody
local set, given, held, seen = unpack(KEYS)
local token, keep, unique = ARGV[1], ARGV[2], ARGV[3]
local FIRST = 4

local function admits(member)
  if unique == 'until_taken' then return true end
  if unique == 'for_good' and redis.call('SADD', seen, member) == 0 then return false end
  return redis.call('HEXISTS', held, member) == 0
end

local untold, added, new = {}, {}, {}
local last = redis.call('GET', given)
if last and string.sub(last, 1, #token + 1) == token .. ' ' then
  added = cmsgpack.unpack(string.sub(last, #token + 2))
  for _, member in ipairs(added) do untold[member] = true end
end

for i = FIRST, #ARGV, 2 do
  local member = ARGV[i + 1]
  if untold[member] then  -- added already, and perhaps taken by now
    new[#new + 1] = (i - FIRST) / 2
    untold[member] = nil
  elseif admits(member) and redis.call('ZADD', set, 'NX', ARGV[i], member) == 1 then
    added[#added + 1] = member
    new[#new + 1] = (i - FIRST) / 2
  end
end

if #added > 0 then
  redis.call('SET', given, token .. ' ' .. cmsgpack.pack(added), 'PX', keep)
elseif last then
  redis.call('DEL', given)
end
return new
