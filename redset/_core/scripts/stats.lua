-- Say how many members are where, at one moment.
--
-- KEYS[1]  the set
-- KEYS[2]  leased, as leasing.lua has it
-- KEYS[3]  dead
-- KEYS[4]  undecodable
-- ARGV     highest score that is due
-- Reply    ready, due, leased, expired, dead, undecodable
-- Cost     O(log n)
-- Why      "expired" is by the server's clock
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
return {
  redis.call('ZCARD', KEYS[1]),
  redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[1]),
  redis.call('ZCARD', KEYS[2]),
  redis.call('ZCOUNT', KEYS[2], '-inf', now),
  redis.call('ZCARD', KEYS[3]),
  redis.call('ZCARD', KEYS[4]),
}
