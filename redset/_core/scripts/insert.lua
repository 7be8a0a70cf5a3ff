-- Add the members that are not there; leave the others, and their scores, as they are.
--
-- KEYS[1]  the set
-- KEYS[2]  what was new in this caller's last call: a list of token, member, member, ...
-- ARGV     token of this call, milliseconds to keep the list, score, member, score, member, ...
-- Reply    the positions (from 0) of the pairs that were new; the same again for the same token
-- Cost     O(k log n) for k members
-- Why      ZADD NX says how many were new, not which, and of a call that the client repeats after
--          a lost reply that none was: such members would be new to nobody
local set, given, token, keep = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local untold = {}
local again = redis.call('LINDEX', given, 0) == token
if again then
  for _, member in ipairs(redis.call('LRANGE', given, 1, -1)) do untold[member] = true end
else
  redis.call('DEL', given)
end

local new, added = {}, again and {} or {token}
for i = 3, #ARGV, 2 do
  local member = ARGV[i + 1]
  local fresh = redis.call('ZADD', set, 'NX', ARGV[i], member) == 1
  if fresh then added[#added + 1] = member end
  if fresh or untold[member] then
    new[#new + 1] = (i - 3) / 2
    untold[member] = nil
  end
end

if #new > 0 then
  for first = 1, #added, 4000 do
    redis.call('RPUSH', given, unpack(added, first, math.min(first + 3999, #added)))
  end
  redis.call('PEXPIRE', given, keep)
end
return new
