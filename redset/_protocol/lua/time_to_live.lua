-- Functions of all scripts that create keys of a set: all keys of a set have one time-to-live.
--
-- A set has its time-to-live as long as any of its keys exists: a script that creates a key sets
-- the time-to-live of the others. A plain ZADD can't do that if it creates the set's key again
-- while only companion keys exist; the next script that leases, or reads the time-to-live, does it.

-- Return the milliseconds that a set has left: -1 if it has no time-to-live, -2 if it has no key.
-- The second value is true if it is known that no member is on lease and that no other companion
-- exists. The first key that exists decides, but the set's own key only if it has a time-to-live.
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

-- Set the time-to-live of keys that a script has created: the milliseconds that their set has
-- *left*. Keys with a time-to-live keep it, so that differences of a millisecond don't add up.
local function inherit(left, ...)
  if left < 0 then return end
  for _, key in ipairs({...}) do
    if redis.call('PTTL', key) == -1 then
      redis.call('PEXPIRE', key, string.format('%.0f', math.max(left, 1)))
    end
  end
end

