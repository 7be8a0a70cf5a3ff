-- Hand out the lowest members at most once, also when the reply is lost and the call repeated.
--
-- KEYS[1]  the set
-- KEYS[2]  what was last handed to this taker: a list of token, member, score, member, score, ...
-- ARGV     token of this call, number of members, highest score, milliseconds to keep the reply
-- Reply    member, score, member, score, ... ; the same again for the same token
-- Cost     O(k log n) for k members
-- Why      a ZPOPMIN that the client repeats after a lost reply throws members away
local set, given = KEYS[1], KEYS[2]
local token, num, highest, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

if redis.call('LINDEX', given, 0) == token then
  local again = redis.call('LRANGE', given, 1, 2 * num)
  -- The repeated call may ask for fewer: what it leaves goes back where it was.
  local rest = redis.call('LRANGE', given, 1 + 2 * num, -1)
  for i = 1, #rest, 2 do
    redis.call('ZADD', set, 'NX', rest[i + 1], rest[i])
  end
  redis.call('LTRIM', given, 0, 2 * num)
  return again
end

local taken
if highest == '+inf' then
  taken = redis.call('ZPOPMIN', set, num)
else
  taken = redis.call('ZRANGEBYSCORE', set, '-inf', highest, 'WITHSCORES', 'LIMIT', 0, num)
  if #taken > 0 then
    redis.call('ZREMRANGEBYRANK', set, 0, #taken / 2 - 1)
  end
end
redis.call('DEL', given)
if #taken > 0 then
  redis.call('RPUSH', given, token)
  for first = 1, #taken, 4000 do
    redis.call('RPUSH', given, unpack(taken, first, math.min(first + 3999, #taken)))
  end
  redis.call('PEXPIRE', given, keep)
end
return taken
