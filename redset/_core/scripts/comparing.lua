-- What scripts share that compare sets; their own text follows this. Nothing here writes, so that a
-- read-only replica can answer.

-- How many of some members are in a set.
local function number_in(set, members)
  local found = 0
  for first = 1, #members, 1000 do
    local last = math.min(first + 999, #members)
    local scores = redis.call('ZMSCORE', set, unpack(members, first, last))
    for i = 1, last - first + 1 do
      if scores[i] then found = found + 1 end
    end
  end
  return found
end

-- How many members two sets share, counted up to a limit (0: all).
local function shared(a, b, limit)
  local answer = redis.pcall('ZINTERCARD', 2, a, b, 'LIMIT', limit)
  if type(answer) == 'number' then return answer end
  -- Redis 6.2 has no ZINTERCARD, and a read-only replica no place to store an intersection.
  local found = 0
  if redis.call('ZCARD', a) > redis.call('ZCARD', b) then a, b = b, a end
  for first = 0, redis.call('ZCARD', a) - 1, 1000 do
    found = found + number_in(b, redis.call('ZRANGE', a, first, first + 999))
    if limit > 0 and found >= limit then return found end
  end
  return found
end

-- Whether the lowest members of one set are in another: most sets that differ are told here.
local function starts_within(a, b)
  local first = redis.call('ZRANGE', a, 0, 99)
  if #first == 0 then return true end
  local scores = redis.call('ZMSCORE', b, unpack(first))
  for i = 1, #first do
    if not scores[i] then return false end
  end
  return true
end

local comparisons = {
  subset = function(a, b)
    local size = redis.call('ZCARD', a)
    return size <= redis.call('ZCARD', b) and starts_within(a, b) and shared(a, b, 0) == size
  end,
  proper_subset = function(a, b)
    local size = redis.call('ZCARD', a)
    return size < redis.call('ZCARD', b) and starts_within(a, b) and shared(a, b, 0) == size
  end,
  equal = function(a, b)
    local size = redis.call('ZCARD', a)
    return size == redis.call('ZCARD', b) and starts_within(a, b) and shared(a, b, 0) == size
  end,
  disjoint = function(a, b)
    return shared(a, b, 1) == 0
  end,
}
