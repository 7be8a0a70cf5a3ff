-- Functions of all scripts that calculate with the scores of several sets.
--
-- The server stores 0 for inf plus -inf, and for 0 times inf. The scripts refuse these instead.

-- Return whether no score of a set is infinite: the lowest and the highest decide.
local function finite(key)
  for _, rank in ipairs({0, -1}) do
    local score = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2]
    if score == 'inf' or score == '-inf' then return false end
  end
  return true
end

local function is_infinite(number)
  return number == math.huge or number == -math.huge
end

-- Return bounds for the sum of a member's positive products of score and weight, and for the sum of
-- its negative ones.
local function bounds(conflict, sets, weights)
  local highest, lowest = 0, 0
  for i = 1, #sets do
    for rank = -1, 0 do
      local score = redis.call('ZRANGE', sets[i], rank, rank, 'WITHSCORES')[2]
      local product = score and number_of(score) * weights[i] or 0
      if product ~= product then return math.huge, -math.huge end
      highest, lowest = math.max(highest, product), math.min(lowest, product)
    end
  end
  if conflict ~= 'sum' then return 0, 0 end
  return highest * #sets, lowest * #sets
end

local function member_lacks_a_score(member, operation, conflict, sets, weights)
  local above, below, missing, undefined = 0, 0, false, false
  for i = 1, #sets do
    local score = redis.call('ZSCORE', sets[i], member)
    if score then
      local product = number_of(score) * weights[i]
      if product ~= product then undefined = true end
      if product > 0 then above = above + product end
      if product < 0 then below = below + product end
    else
      missing = true
    end
  end
  if missing and operation == 'intersection' then return false end
  return undefined or (conflict == 'sum' and above == math.huge and below == -math.huge)
end

-- Return the ends of a set whose products of score and weight are infinite, or no number: those with
-- the lowest scores, then those with the highest. The third value is true if finite products of all
-- *n* sets may have an infinite sum.
local function infinite_ends(set, weight, n)
  local factor = math.abs(weight)
  local edge = factor > 1 and string.format('%.17g', 1.797e308 / factor) or 'inf'
  local size = redis.call('ZCARD', set)
  local low = redis.call('ZCOUNT', set, '-inf', '-' .. edge)
  local high = redis.call('ZCOUNT', set, edge, '+inf')
  local largest = 0
  for _, rank in ipairs({low, size - high - 1}) do
    local score = low + high < size and redis.call('ZRANGE', set, rank, rank, 'WITHSCORES')[2]
    if score then largest = math.max(largest, math.abs(number_of(score) * factor)) end
  end
  return {
    {set = set, first = 0, last = low - 1, positive = weight < 0, undefined = weight == 0},
    {set = set, first = size - high, last = size - 1, positive = weight > 0, undefined = weight == 0},
  }, largest * n > 1.797e308
end

-- Return the ends to search: a member without a sum is in one of each sign, so those of one sign
-- are enough.
local function ends_to_search(sets, weights)
  local found, total, all = {}, {[true] = 0, [false] = 0}, false
  for i = 1, #sets do
    local ends, has_large = infinite_ends(sets[i], tonumber(weights[i]), #sets)
    all = all or has_large
    for _, each in ipairs(ends) do
      found[#found + 1] = each
      total[each.positive] = total[each.positive] + each.last - each.first + 1
    end
  end
  local fewer, chosen = total[true] < total[false], {}
  for _, each in ipairs(found) do
    if all or each.undefined or each.positive == fewer then chosen[#chosen + 1] = each end
  end
  return chosen
end

-- Return whether a member of a union or intersection has no score: it would be the sum of inf and
-- -inf, or an infinite score times a weight of 0. Only members with infinite scores are read, and
-- only if the bounds allow such a member.
local function lacks_a_score(operation, conflict, sets, weights)
  if conflict == 'keep' or conflict == 'replace' then return false end
  local highest, lowest = bounds(conflict, sets, weights)
  if not (is_infinite(highest) and is_infinite(lowest)) then return false end
  for _, each in ipairs(ends_to_search(sets, weights)) do
    for first = each.first, each.last, 1000 do
      local last = math.min(first + 999, each.last)
      for _, member in ipairs(redis.call('ZRANGE', each.set, first, last)) do
        if member_lacks_a_score(member, operation, conflict, sets, weights) then return true end
      end
    end
  end
  return false
end

