-- Functions of all scripts that change a set that may be temporary: the result of an operator.

-- The reply to a change of a temporary set that is gone.
local GONE = redis.error_reply('EXPIRED the temporary set is gone')

-- Return whether a set is gone; a set without a sign is not temporary.
local function is_gone(sign)
  return sign and redis.call('EXISTS', sign) == 0
end

