-- Read the members that follow a place in the set, also if no member is at that place any more.
--
-- KEYS[1]  the set
-- ARGV     'forward' or 'backward', score and member of the last member read ('' and '' for none),
--          how many to read, 'scores' or 'members'
-- Reply    {how many members come before the first one, in that direction, {score, score, ...},
--          {member, member, ...}}; without 'scores' only the score of the last one
-- Cost     O(log n + k) for k members read; O(log n * log t) more if the last member read has been
--          removed or moved and t members share its score
-- Why      a rank skips members when others are removed, SCAN repeats them, and no command starts
--          between two members of one score
local set = KEYS[1]
local backward, score, last, num = ARGV[1] == 'backward', ARGV[2], ARGV[3], tonumber(ARGV[4])
local with_scores = ARGV[5] == 'scores'

-- Lua compares strings by the server's locale, but sorted sets are ordered by bytes.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Return how many members come before the place (score, last), and 1 if a member is at that place,
-- else 0.
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

local rank, itself = place()
local first = backward and redis.call('ZCARD', set) - rank or rank + itself
local words = {'ZRANGE', set, first, first + num - 1}
if backward then words[#words + 1] = 'REV' end
local found, scores = {}, {}
if with_scores then
  words[#words + 1] = 'WITHSCORES'
  local pairs = redis.call(unpack(words))
  for i = 1, #pairs, 2 do
    found[#found + 1], scores[#scores + 1] = pairs[i], pairs[i + 1]
  end
else
  found = redis.call(unpack(words))
  if #found > 0 then scores[1] = redis.call('ZSCORE', set, found[#found]) end
end
return {first, scores, found}
