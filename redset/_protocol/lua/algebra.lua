-- Combine sets, or compare two, in one step and with the server's native commands.
--
-- KEYS[1]  the key that the combination is stored at (one of the operands for the in-place forms)
-- KEYS[2]  the liveness key of a temporary combination: it exists as long as the owner uses the
--          combination
-- KEYS[3], KEYS[4]  scratch
-- KEYS[5]  the slot's reply key, as idempotency.lua has it
-- KEYS[6…] the operands, the liveness keys of those operands that are temporary themselves, and
--          the companion keys of the set at KEYS[1] if it is replaced or changed, leased first
-- ARGV[1]  union, intersection, difference, symmetric_difference,
--          subset, proper_subset, equal or disjoint; or count_union, count_intersection,
--          count_difference: comparisons and counts only if an operand is staged
-- ARGV[2]  which score wins: keep (that of the left set), replace, min, max or sum; for a count,
--          the number to stop at, 0 to count all
-- ARGV[3]  time-to-live of KEYS[1]: 'kept', 'none', or milliseconds
-- ARGV[4]  this request's id, '' for a request that may be done twice
-- ARGV[5]  milliseconds to keep the reply
-- ARGV[6]  number n of operands
-- ARGV[7…] for each operand 'staged' (deleted at the end) or 'set', then the weight of each
--          operand, then for each liveness key the place of that operand, from 0
-- Reply    {'size', n} or {'answer', 0 or 1 or a count}; or an error, before anything is changed:
--          {'expired', operand}, {'type', operand}, {'dropped', operand} for a staged operand of
--          which only the last chunk is left (operands count from 0), {'into', 0} if KEYS[1] has
--          another type, {'no number', 0} if a score would be the sum of inf and -inf, or an
--          infinite score times a weight of 0
-- Cost     that of ZUNIONSTORE, ZINTERSTORE, ZDIFFSTORE or ZINTERCARD, up to twice
-- Why      no aggregate of ZUNIONSTORE lets the left score win, and *STORE drops a time-to-live
local into, liveness_key, scratch, spare, reply_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local operation, conflict, ttl = ARGV[1], ARGV[2], ARGV[3]
local id, keep, n = ARGV[4], ARGV[5], tonumber(ARGV[6])
local operands, weights, staged = {}, {}, {}
for i = 1, n do
  operands[i] = KEYS[5 + i]
  weights[i] = ARGV[6 + n + i]
  if ARGV[6 + i] == 'staged' then staged[#staged + 1] = operands[i] end
end

local function done(...)
  redis.call('UNLINK', scratch, spare)
  if #staged > 0 then redis.call('UNLINK', unpack(staged)) end
  return {...}
end

local function store(command, target, keys, ...)
  local words = {target, #keys}
  for i = 1, #keys do words[#words + 1] = keys[i] end
  for _, word in ipairs({...}) do words[#words + 1] = word end
  return redis.call(command, unpack(words))
end

local function rest(keys)
  return {unpack(keys, 2)}
end

-- If the request were done twice, it would undo a symmetric difference, add scores twice, or add
-- members that were removed since.
if id ~= '' then
  local state, words = recall(reply_key, id)
  if state == 'duplicate' or state == 'stale' then return done('size', tonumber(words[1] or 0)) end
end

-- No other call stores at a result's key: if the result exists, this call has made it already.
if ttl ~= 'kept' and ttl ~= 'none' and redis.call('EXISTS', liveness_key) == 1 then
  return done('size', redis.call('ZCARD', into))
end

local liveness_keys = #ARGV - 6 - 2 * n
for i = 1, liveness_keys do
  -- They are passed in the order of the operands that have one; ARGV names those operands.
  if redis.call('EXISTS', KEYS[5 + n + i]) == 0 then
    return done('expired', tonumber(ARGV[6 + 2 * n + i]))
  end
end
for i = 1, n do
  local kind = redis.call('TYPE', operands[i]).ok
  if kind ~= 'zset' and kind ~= 'none' then return done('type', i - 1) end
  if ARGV[6 + i] == 'staged' and redis.call('PTTL', operands[i]) < 0 then
    return done('dropped', i - 1)
  end
end

if ttl == 'none' then
  local kind = redis.call('TYPE', into).ok
  if kind ~= 'zset' and kind ~= 'none' then return done('into', 0) end
end

local counted = counts[string.match(operation, '^count_(.*)')]
if counted then return done('answer', counted(operands, tonumber(conflict))) end

if comparisons[operation] then
  return done('answer', comparisons[operation](operands[1], operands[2]) and 1 or 0)
end

local function aggregate(command, target, keys)
  local words = {'WEIGHTS'}
  for i = 1, #keys do words[#words + 1] = weights[i] end
  words[#words + 1] = 'AGGREGATE'
  words[#words + 1] = string.upper(conflict)
  return store(command, target, keys, unpack(words))
end

-- Add to the target those members of another set that it doesn't have; `spare` is overwritten. A
-- set that is much smaller is added in pages: to store the target again for each of many sets would
-- copy it as often.
local function join(target, key)
  local size = redis.call('ZCARD', key)
  if 3 * size >= redis.call('ZCARD', target) then
    store('ZDIFFSTORE', spare, {key, target})
    return store('ZUNIONSTORE', target, {target, spare})
  end
  for first = 0, size - 1, 1000 do
    local pairs_of_page = redis.call('ZRANGE', key, first, first + 999, 'WITHSCORES')
    local words = {target, 'NX'}
    for i = 1, #pairs_of_page, 2 do
      words[#words + 1] = pairs_of_page[i + 1]
      words[#words + 1] = pairs_of_page[i]
    end
    redis.call('ZADD', unpack(words))
  end
end

local function backwards(keys)
  local turned = {}
  for i = #keys, 1, -1 do turned[#turned + 1] = keys[i] end
  return turned
end

-- Store the members that all sets have, with the scores of the first set.
local function intersect(target, keys)
  local others_finite = true
  local zeros = {'WEIGHTS', 1}
  for i = 2, #keys do
    others_finite = others_finite and finite(keys[i])
    zeros[#zeros + 1] = 0
  end
  if #keys == 1 then return store('ZUNIONSTORE', target, keys) end
  if others_finite then return store('ZINTERSTORE', target, keys, unpack(zeros)) end
  -- An infinite score times 0 is no number: remove the members that the other sets don't have
  -- instead.
  store('ZINTERSTORE', spare, rest(keys), 'AGGREGATE', 'MIN')
  store('ZDIFFSTORE', spare, {keys[1], spare})
  return store('ZDIFFSTORE', target, {keys[1], spare})
end

local combinations = {
  union = function(keys)
    if conflict ~= 'keep' and conflict ~= 'replace' then
      return aggregate('ZUNIONSTORE', scratch, keys)
    end
    if conflict == 'replace' then keys = backwards(keys) end
    if #keys == 2 then
      store('ZDIFFSTORE', spare, {keys[2], keys[1]})
      return store('ZUNIONSTORE', scratch, {keys[1], spare})
    end
    store('ZUNIONSTORE', scratch, {keys[1]})
    for i = 2, #keys do join(scratch, keys[i]) end
  end,
  intersection = function(keys)
    if conflict ~= 'keep' and conflict ~= 'replace' then
      return aggregate('ZINTERSTORE', scratch, keys)
    end
    intersect(scratch, conflict == 'replace' and backwards(keys) or keys)
  end,
  difference = function(keys)
    store('ZDIFFSTORE', scratch, keys)
  end,
  symmetric_difference = function(keys)
    store('ZDIFFSTORE', scratch, {keys[2], keys[1]})
    store('ZDIFFSTORE', spare, {keys[1], keys[2]})
    store('ZUNIONSTORE', scratch, {scratch, spare})
  end,
}

if lacks_a_score(operation, conflict, operands, weights) then return done('no number', 0) end

local FIRST_COMPANION = 6 + n + liveness_keys
local left = ttl == 'kept' and time_left(into, unpack(KEYS, FIRST_COMPANION)) or -1
combinations[operation](operands)
local size = redis.call('ZCARD', scratch)
if size == 0 then
  redis.call('UNLINK', into)
else
  -- Many servers free a key that RENAME replaces at once. The old set is moved to the spare key,
  -- which UNLINK frees in the background.
  redis.call('UNLINK', spare)
  if redis.call('EXISTS', into) == 1 then redis.call('RENAME', into, spare) end
  redis.call('RENAME', scratch, into)
end
if ttl == 'kept' then
  inherit(left, into)
elseif ttl == 'none' then
  for i = FIRST_COMPANION, #KEYS do redis.call('UNLINK', KEYS[i]) end
else
  -- The liveness key expires before the set: if it exists and the set does not, the set is empty.
  redis.call('SET', liveness_key, '', 'PX', ttl)
  redis.call('PEXPIRE', into, ttl + GRACE_MILLISECONDS)
end
if id ~= '' then store_reply(reply_key, id, {tostring(size)}, keep) end
return done('size', size)
