-- Functions of all scripts that compare sets, count their members or read them; the text of such a
-- script follows this file. They write nothing, so that a read-only replica can answer.

-- Return the error of the operands KEYS[1…n], nil if there is none. The keys after the operands
-- are the liveness keys of temporary operands; ARGV has the places of these operands, from
-- ARGV[first] on.
local function fault_of(n, first)
  for i = 1, #KEYS - n do
    if redis.call('EXISTS', KEYS[n + i]) == 0 then
      return {'expired', tonumber(ARGV[first + i - 1])}
    end
  end
  for i = 1, n do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'zset' and kind ~= 'none' then return {'type', i - 1} end
  end
end

-- Call *visit* with up to 1,000 of *members* at a time: Lua's stack has a limit.
local function in_parts(members, visit)
  for first = 1, #members, 1000 do
    visit({unpack(members, first, math.min(first + 999, #members))})
  end
end

-- Return those of up to 1,000 members that are in a set (*wanted* is true), or that are not
-- (false).
local function sifted(members, set, wanted)
  if #members == 0 then return members end
  local scores, left = redis.call('ZMSCORE', set, unpack(members)), {}
  for i = 1, #members do
    if (scores[i] and true or false) == wanted then left[#left + 1] = members[i] end
  end
  return left
end

-- Count the members that are in all sets of *within*, and in no set of *outside*.
local function number_of_those(members, within, outside)
  local found = 0
  in_parts(members, function(some)
    for _, set in ipairs(within) do some = sifted(some, set, true) end
    for _, set in ipairs(outside) do some = sifted(some, set, false) end
    found = found + #some
  end)
  return found
end

-- Count the same for all members of a set, up to a limit (0: all). They are read in pages, to keep
-- Lua's memory small.
local function number_of_all(set, within, outside, limit)
  local found = 0
  for first = 0, redis.call('ZCARD', set) - 1, 1000 do
    local members = redis.call('ZRANGE', set, first, first + 999)
    found = found + number_of_those(members, within, outside)
    if limit > 0 and found >= limit then return found end
  end
  return found
end

local function by_size(sets)
  local sizes, sorted = {}, {unpack(sets)}
  for _, set in ipairs(sets) do sizes[set] = redis.call('ZCARD', set) end
  table.sort(sorted, function(a, b) return sizes[a] < sizes[b] end)
  return sorted, sizes
end

-- Count the members that are in all sets, up to a limit (0: all).
local function shared(sets, limit)
  if #sets == 1 then return redis.call('ZCARD', sets[1]) end
  local words = {#sets, unpack(sets)}
  words[#words + 1], words[#words + 2] = 'LIMIT', limit
  local answer = redis.pcall('ZINTERCARD', unpack(words))
  if type(answer) == 'number' then return answer end
  -- Redis 6.2 has no ZINTERCARD, and on a read-only replica no intersection can be stored.
  local sorted = by_size(sets)
  return number_of_all(sorted[1], {unpack(sorted, 2)}, {}, limit)
end

-- Return the distinct members of several sets; nil if they are more than Lua should hold.
local function gathered(sets)
  local total = 0
  for _, set in ipairs(sets) do total = total + redis.call('ZCARD', set) end
  if total > 10000 then return nil end
  local seen, members = {}, {}
  for _, set in ipairs(sets) do
    for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
      if not seen[member] then
        seen[member] = true
        members[#members + 1] = member
      end
    end
  end
  return members
end

-- Count the members of a set that are in none of the other sets. The members of the smaller side
-- are read: those of the set, or those of the others.
local function number_outside(set, others)
  local size = redis.call('ZCARD', set)
  if #others == 0 then return size end
  if #others == 1 then return size - shared({set, others[1]}, 0) end
  local total = 0
  for _, other in ipairs(others) do total = total + redis.call('ZCARD', other) end
  if size <= total then return number_of_all(set, {}, others, 0) end
  local members = gathered(others)
  if members then return size - number_of_those(members, {set}, {}) end
  local earlier = {}
  for i, other in ipairs(others) do
    size = size - number_of_all(other, {set}, earlier, 0)
    earlier[i] = other
  end
  return size
end

local counts = {
  union = function(sets)
    -- The members of the largest set are not read. Small sets are gathered first, as each would be
    -- looked up in all others; of large ones, each adds its members that are in no larger set.
    local sorted, earlier, total = by_size(sets), {}, 0
    if #sorted > 2 then
      local largest = table.remove(sorted)
      local members = gathered(sorted)
      if members then
        return redis.call('ZCARD', largest) + number_of_those(members, {}, {largest})
      end
      sorted[#sorted + 1] = largest
    end
    for i = #sorted, 1, -1 do
      total = total + number_outside(sorted[i], earlier)
      earlier[#earlier + 1] = sorted[i]
    end
    return total
  end,
  intersection = shared,
  difference = function(sets)
    return number_outside(sets[1], {unpack(sets, 2)})
  end,
}

-- Return whether the 100 lowest members of one set are in another: for most sets that differ, this
-- decides.
local function starts_within(a, b)
  return #sifted(redis.call('ZRANGE', a, 0, 99), b, false) == 0
end

local comparisons = {
  subset = function(a, b)
    local size = redis.call('ZCARD', a)
    return size <= redis.call('ZCARD', b) and starts_within(a, b) and shared({a, b}, 0) == size
  end,
  proper_subset = function(a, b)
    local size = redis.call('ZCARD', a)
    return size < redis.call('ZCARD', b) and starts_within(a, b) and shared({a, b}, 0) == size
  end,
  equal = function(a, b)
    local size = redis.call('ZCARD', a)
    return size == redis.call('ZCARD', b) and starts_within(a, b) and shared({a, b}, 0) == size
  end,
  disjoint = function(a, b)
    return shared({a, b}, 1) == 0
  end,
}
