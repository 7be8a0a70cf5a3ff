-- Count the members of a set in each state, at one moment.
--
-- KEYS[1]  the set
-- KEYS[2]  leased, as delivering.lua has it
-- KEYS[3]  dead
-- KEYS[4]  undecodable
-- KEYS[5]  delayed, as delivering.lua has it
-- ARGV     highest score that is due
-- Reply    ready, due, leased, delayed, expired, dead, undecodable, the lowest score that is due
-- Cost     O(log n)
-- Why      "expired" is counted by the server's clock
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local delayed = redis.call('SCARD', KEYS[5])
local first = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, 1)
return {
  redis.call('ZCARD', KEYS[1]),
  redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[1]),
  redis.call('ZCARD', KEYS[2]) - delayed,
  delayed,
  redis.call('ZCOUNT', KEYS[2], '-inf', now),
  redis.call('ZCARD', KEYS[3]),
  redis.call('ZCARD', KEYS[4]),
  first[2] or '',
}
