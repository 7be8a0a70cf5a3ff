-- Functions of all scripts that deliver members; the text of such a script follows this file.
--
-- KEYS[1]  the set
-- KEYS[2]  the slot's reply key, as idempotency.lua has it
-- KEYS[3]  leased: a sorted set, member -> deadline, in milliseconds of the server's clock
-- KEYS[4]  held: a hash, member -> "lease deliveries most score since company worker"; the lease
--          is "-" if the member is delayed. "company" is "alone" if the lease had only this member,
--          "many" if it had several; of a delayed member, "alone" if its next lease must have no
--          other member.
-- KEYS[5]  deliveries: a hash, member -> its delivery count, of members that were returned to the
--          set; " alone" follows if its next lease must have no other member
-- KEYS[6]  dead: a sorted set of the dead members; letters has the reason of each
-- KEYS[7]  letters: a hash, member of dead -> "reason milliseconds deliveries error"
-- KEYS[8]  delayed: a set, the members of leased that no consumer has: their delay has not ended
-- KEYS[9]  undecodable: a sorted set of the members that could not be deserialized when they were
--          taken
-- KEYS[10] seen: a set of all members that were ever added, if they are unique "forever"
-- KEYS[11] absent: a key that never exists
local set, reply_key, leased, held, deliveries, dead, letters, delayed, undecodable, seen, absent =
  unpack(KEYS)

local function now_in_milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Return the next members, without removing them: member, score, member, score, ... These are the
-- lowest ones, or, if *last*, the highest of those that are due.
local function next_members(num, max_due_score, last)
  if last then
    return redis.call('ZREVRANGEBYSCORE', set, max_due_score, '-inf', 'WITHSCORES', 'LIMIT', 0, num)
  end
  if max_due_score == '+inf' then return redis.call('ZRANGE', set, 0, num - 1, 'WITHSCORES') end
  return redis.call('ZRANGEBYSCORE', set, '-inf', max_due_score, 'WITHSCORES', 'LIMIT', 0, num)
end

-- Remove the members of *pairs* from the set; a further word after the pairs is ignored. Return the
-- error if the removal is not allowed.
local function remove_next(pairs, max_due_score, last)
  local num = math.floor(#pairs / 2)
  local first = last and redis.call('ZCOUNT', set, '-inf', max_due_score) - num or 0
  local reply = redis.pcall('ZREMRANGEBYRANK', set, first, first + num - 1)
  return type(reply) == 'table' and reply.err and reply
end
