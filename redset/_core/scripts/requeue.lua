-- Make dead members ready again, at the scores they had.
--
-- KEYS[1]  the set
-- KEYS[2]  dead
-- ARGV     the members; none for all
-- Reply    how many were moved
-- Cost     O(k log n) for k members
-- Why      a member must never be in neither of the two
local set, dead = KEYS[1], KEYS[2]
local moved = 0
redis.call('ZCARD', set)  -- fails before anything is removed if the key is of another type
for _, member in ipairs(ARGV) do
  local score = redis.call('ZSCORE', dead, member)
  if score then
    redis.call('ZADD', set, 'NX', score, member)
    moved = moved + redis.call('ZREM', dead, member)
  end
end
while #ARGV == 0 and redis.call('EXISTS', dead) == 1 do
  local some = redis.call('ZPOPMIN', dead, 1000)
  for i = 1, #some, 2 do redis.call('ZADD', set, 'NX', some[i + 1], some[i]) end
  moved = moved + #some / 2
end
return moved
