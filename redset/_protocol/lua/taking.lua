-- The part of take.lua that most calls need: they end here, before the functions that know leases
-- are made, which takes a fifth of the time of such a call. What take.lua says of KEYS and ARGV
-- holds here, too.
local keep, num, last = ARGV[1], math.abs(tonumber(ARGV[2])), ARGV[3] == 'last'
local id, max_due_score = ARGV[4], ARGV[5]

-- Record the reply, also if memory is short: then the server allows that only after a write that
-- frees memory. ZREM changes nothing here, but counts as such.
local function keep_reply(words)
  if pcall(store_reply, reply_key, id, words, keep) then return end
  redis.call('ZREM', absent, '')
  store_reply(reply_key, id, words, keep)
end

-- Take the next members of a set that has *left* milliseconds to live. If none is due, and *more*
-- expired leases are left to reclaim, the reply says so. *prepare* is called with what is taken.
local function take_next(left, more, prepare)
  local taken = num > 0 and next_members(num, max_due_score, last) or {}
  if #taken == 0 and more then return {'more'} end
  if prepare then prepare(taken) end
  if left >= 0 and #taken > 0 then
    taken[#taken + 1] = string.format('%.0f', now_in_milliseconds() + left)
  end
  keep_reply(taken)
  if #taken == 0 then return taken end
  local failed = remove_next(taken, max_due_score, last)
  if failed then
    keep_reply({})
    return failed
  end
  return taken
end

if is_gone(KEYS[12]) then return GONE end
local state, words = recall(reply_key, id)
if state == 'stale' then return {} end
if state == 'duplicate' then return words end
-- If the set is used without leases, neither key exists: one command checks both.
local any_leases = redis.call('EXISTS', leased, deliveries) > 0
if #words == 0 and not any_leases then return take_next(redis.call('PTTL', set)) end
