-- Functions of all scripts that change a set that may be temporary: the result of an operator.

-- The reply to a change of a temporary set that is gone.
local GONE = redis.error_reply('EXPIRED the temporary set is gone')

-- Return whether a set is gone; a set without a liveness key is not temporary.
local function is_gone(liveness_key)
  return liveness_key and redis.call('EXISTS', liveness_key) == 0
end

