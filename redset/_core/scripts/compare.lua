-- Compare two sets of the server.
--
-- KEYS[1], KEYS[2]  the sets
-- KEYS[3…] the signs of those that are temporary, as algebra.lua has them
-- ARGV[1]  subset, proper_subset, equal or disjoint
-- ARGV[2…] for each sign, whose it is: 0 or 1
-- Reply    {'answer', 0 or 1}; or what is wrong: {'expired', operand} or {'type', operand}
-- Cost     that of ZINTERCARD, and less where sizes or the first members tell
-- Why      both are looked at at one moment
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'expired', tonumber(ARGV[i - 1])} end
end
for i = 1, 2 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'zset' and kind ~= 'none' then return {'type', i - 1} end
end
return {'answer', comparisons[ARGV[1]](KEYS[1], KEYS[2]) and 1 or 0}
