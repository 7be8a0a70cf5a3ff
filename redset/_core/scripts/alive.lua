-- Change a temporary set, unless it is gone: a plain command would make it anew.
--
-- KEYS[1]  the set, or a companion of it
-- KEYS[2]  the sign that it is alive
-- ARGV     the name of a command, a flag or '', and its other words; numbers that ZADD or ZREM give
--          for parts of them are added up
-- Reply    that of the command; an error if the set is gone, and then nothing was changed
-- Cost     that of the command
-- Why      a command between two others may find that the set has just run out
local key, sign, name, flag = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local FIRST = 3
-- Lua's stack takes no more at once.
local MOST = 4000

if is_gone(sign) then return GONE end
local sum
for first = FIRST, #ARGV, MOST do
  local words = {name, key}
  if flag ~= '' then words[3] = flag end
  for i = first, math.min(first + MOST - 1, #ARGV) do words[#words + 1] = ARGV[i] end
  local reply = redis.call(unpack(words))
  sum = sum and sum + reply or reply
end
return sum
