-- Functions of all scripts that write scores, or calculate with them.

-- Return the number of a score that the server or a client has written as text.
local function number_of(score)
  if score == 'inf' or score == '+inf' then return math.huge end
  if score == '-inf' then return -math.huge end
  return tonumber(score)
end

local CONFLICT_FLAGS = {keep = 'NX', min = 'LT', max = 'GT'}

-- Set the score of a member of the set under *key*; *conflict* decides which score wins if the
-- member has one: keep, replace, min, max or sum.
local function set_score(key, conflict, score, member)
  if conflict == 'sum' then
    redis.call('ZINCRBY', key, score, member)
  elseif CONFLICT_FLAGS[conflict] then
    redis.call('ZADD', key, CONFLICT_FLAGS[conflict], score, member)
  else
    redis.call('ZADD', key, score, member)
  end
end

