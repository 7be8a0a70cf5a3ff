-- Read the members that come after a place in the set, whether or not that place is still taken.
--
-- KEYS[1]  the set
-- ARGV     'forward' or 'backward', score and member of the last one read (two '' for none yet),
--          how many to read, 'scores' (forward only) or 'members'
-- Reply    member, score, member, score, ... or: score of the last one, {member, member, ...}
-- Cost     O(log n + k) for k members read; O(log n * log t) more if the last one read has been
--          removed or moved and t members share its score
-- Why      a rank skips members when others are removed, SCAN repeats them, and no command starts
--          between two members of one score
local set = KEYS[1]
local backward, score, last, num = ARGV[1] == 'backward', ARGV[2], ARGV[3], tonumber(ARGV[4])
local with_scores = ARGV[5] == 'scores'

-- Lua compares strings by the server's locale, sorted sets by bytes.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- How many members come before the place (score, last).
local function place()
  if score == '' then return backward and redis.call('ZCARD', set) or 0, 0 end
  local there = redis.call('ZSCORE', set, last)
  if there and tonumber(there) == tonumber(score) then
    return redis.call('ZRANK', set, last), 1
  end
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', set, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', set, middle, middle)[1]
    if before(member, last) then low = middle + 1 else high = middle end
  end
  return low, 0
end

local function read(first, last_one)
  if with_scores then return redis.call('ZRANGE', set, first, last_one, 'WITHSCORES') end
  return redis.call('ZRANGE', set, first, last_one)
end

local rank, itself = place()
local found
if not backward then
  found = read(rank + itself, rank + itself + num - 1)
elseif rank == 0 then
  found = {}
else
  local forward = read(math.max(rank - num, 0), rank - 1)
  found = {}
  for i = #forward, 1, -1 do found[#found + 1] = forward[i] end
end
if with_scores then return found end
return {#found > 0 and redis.call('ZSCORE', set, found[#found]) or '0', found}
