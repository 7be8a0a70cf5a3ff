-- What scripts share that write scores, or calculate with them.

-- The number of a score as the server writes it, or a client.
local function number_of(score)
  if score == 'inf' or score == '+inf' then return math.huge end
  if score == '-inf' then return -math.huge end
  return tonumber(score)
end

local CONFLICT_FLAGS = {keep = 'NX', min = 'LT', max = 'GT'}

-- Give a member of the set under *key* a score; *conflict* says whose wins if it is there: keep,
-- replace, min, max or sum.
local function set_score(key, conflict, score, member)
  if conflict == 'sum' then
    redis.call('ZINCRBY', key, score, member)
  elseif CONFLICT_FLAGS[conflict] then
    redis.call('ZADD', key, CONFLICT_FLAGS[conflict], score, member)
  else
    redis.call('ZADD', key, score, member)
  end
end

