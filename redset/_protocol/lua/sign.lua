-- What scripts share that change a set, which may be temporary: the result of an operator.

-- The reply to a change of one that is gone.
local GONE = redis.error_reply('EXPIRED the temporary set is gone')

-- Whether a set is gone; one without a sign is not temporary.
local function is_gone(sign)
  return sign and redis.call('EXISTS', sign) == 0
end

