-- What scripts share that make a key of a set, all keys of which go at one time: its time-to-live.
--
-- It belongs to the set as long as any of its keys exists: a key that a script makes is given that of
-- the others. A plain ZADD can't do so if it makes the set itself anew while only companions are left;
-- the next script does that leases, or says the time-to-live.

-- The milliseconds that a set has left, -1 for one that stays, -2 for one without a key; the second
-- value is true if it is known that nothing is on lease and that none of the other companions exists.
-- The first key that exists tells, but that of the set only if it has a time-to-live.
local function time_left(set, leased, ...)
  local left = redis.call('PTTL', leased)
  if left ~= -2 then return left end
  left = redis.call('PTTL', set)
  if left >= 0 then return left end
  if redis.call('EXISTS', ...) == 0 then return left, true end
  for _, key in ipairs({...}) do
    local theirs = redis.call('PTTL', key)
    if theirs ~= -2 then return theirs end
  end
end

-- Give the keys that a script has made the milliseconds that their set has *left*; the others keep
-- what they have, so that nothing adds up.
local function inherit(left, ...)
  if left < 0 then return end
  for _, key in ipairs({...}) do
    if redis.call('PTTL', key) == -1 then
      redis.call('PEXPIRE', key, string.format('%.0f', math.max(left, 1)))
    end
  end
end

