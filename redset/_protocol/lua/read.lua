-- Read a combination of sets without storing it, or what a caller needs to make it with local items.
--
-- KEYS[1…n] the sets, then the signs of those that are temporary, as algebra.lua has them
-- ARGV[1]  union, intersection, difference, symmetric_difference; all, for the sets as they are; or
--          scores, for those of some members in each set
-- ARGV[2]  number n of sets
-- ARGV[3]  whose score wins: keep (the left one's), replace, min, max or sum; keep for 'all' and
--          'scores', whose scores are the caller's to combine
-- ARGV[4]  how many members are wanted, 0 for all; for 'all', how many the sets may have altogether
-- ARGV[5]  'first' or 'last', which of them: of the lowest scores, or of the highest
-- ARGV[6]  'scores' if scores are wanted, else 'members'
-- ARGV[7…] for each set its weight, then for each sign, whose it is; then members for 'scores'
-- Reply    {'members', members, in order}, only if no scores are wanted; or {'pairs', run, run, …},
--          each of members with their scores: a member's first is the one that counts, and the
--          order of all is the caller's to make; or {'scores', scores, …} for each set; or what is
--          wrong: {'expired', operand}, {'type', operand}, {'no number', 0} as algebra.lua has it,
--          {'many', number of members} for 'all'
-- Cost     that of ZUNION, ZINTER, ZDIFF or ZRANGE, up to twice
-- Why      no aggregate of ZUNION lets the left score win, and all is read at one moment; nothing is
--          written, so that a read-only replica answers
local verb, n, conflict, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local from_end, with_scores = ARGV[5] == 'last', ARGV[6] == 'scores'
local fault = fault_of(n, 7 + n)
if fault then return fault end

local sets, weights, backwards = {}, {}, {}
for i = 1, n do
  sets[i], weights[i], backwards[n + 1 - i] = KEYS[i], ARGV[6 + i], KEYS[i]
end
if lacks_a_score(verb, conflict, sets, weights) then return {'no number', 0} end
local keeps = conflict == 'keep' or conflict == 'replace'
local precedence = conflict == 'replace' and backwards or sets

-- As many of a reply in order as are wanted; a member with its score has *width* words.
local function cut(reply, width)
  local most = limit * width
  if limit == 0 or #reply <= most then return reply end
  local part, skipped = {}, from_end and #reply - most or 0
  for i = 1, most do part[i] = reply[skipped + i] end
  return part
end

local function combined(command, keys, scored, ...)
  local words = {command, #keys, unpack(keys)}
  for _, word in ipairs({...}) do words[#words + 1] = word end
  if scored then words[#words + 1] = 'WITHSCORES' end
  return redis.call(unpack(words))
end

-- All members of a set, or up to as many as are wanted.
local function whole(key, scored, most)
  local first, last = 0, most - 1
  if most > 0 and from_end then first, last = -most, -1 end
  if scored then return redis.call('ZRANGE', key, first, last, 'WITHSCORES') end
  return redis.call('ZRANGE', key, first, last)
end

-- The reply to a command in order, which is all that the caller needs.
local function in_order(reply)
  return {with_scores and 'pairs' or 'members', cut(reply, with_scores and 2 or 1)}
end

local function aggregated(command)
  local words = {'WEIGHTS', unpack(weights)}
  words[#words + 1] = 'AGGREGATE'
  words[#words + 1] = string.upper(conflict)
  return in_order(combined(command, sets, with_scores, unpack(words)))
end

local function scores_in(set, members)
  local scores = {}
  in_parts(members, function(some)
    for _, score in ipairs(redis.call('ZMSCORE', set, unpack(some))) do
      scores[#scores + 1] = score
    end
  end)
  return scores
end

local readings = {}

function readings.all()
  local total, runs = 0, {'pairs'}
  for _, key in ipairs(sets) do total = total + redis.call('ZCARD', key) end
  if limit > 0 and total > limit then return {'many', total} end
  for i, key in ipairs(sets) do runs[1 + i] = whole(key, true, 0) end
  return runs
end

function readings.scores()
  local members, replies = {}, {'scores'}
  for i = 7 + #KEYS, #ARGV do members[#members + 1] = ARGV[i] end
  for i, key in ipairs(sets) do replies[1 + i] = scores_in(key, members) end
  return replies
end

function readings.union()
  if not keeps then return aggregated('ZUNION') end
  if n == 1 then return in_order(whole(sets[1], with_scores, limit)) end
  -- What one set has and no earlier one, set after set. To look in many earlier ones costs more than
  -- to give the caller some members twice, of which the first counts.
  local exclusive = n <= 16
  local runs, earlier = {'pairs'}, {}
  for i, key in ipairs(precedence) do
    if exclusive and i > 1 then
      runs[1 + i] = cut(combined('ZDIFF', {key, unpack(earlier)}, true), 2)
    else
      runs[1 + i] = whole(key, true, exclusive and limit or 0)
    end
    earlier[i] = key
  end
  return runs
end

function readings.intersection()
  if not keeps then return aggregated('ZINTER') end
  local words, others_finite = {'WEIGHTS', 1}, true
  for i = 2, n do
    words[1 + i] = 0
    others_finite = others_finite and finite(precedence[i])
  end
  if others_finite then
    return in_order(combined('ZINTER', precedence, with_scores, unpack(words)))
  end
  -- An infinite score times 0 is no number: the scores are looked up instead.
  local members, run = combined('ZINTER', sets, false, 'AGGREGATE', 'MIN'), {}
  for i, score in ipairs(scores_in(precedence[1], members)) do
    run[2 * i - 1], run[2 * i] = members[i], score
  end
  return {'pairs', run}
end

function readings.difference()
  return in_order(combined('ZDIFF', sets, with_scores))
end

function readings.symmetric_difference()
  local one = combined('ZDIFF', sets, true)
  local other = combined('ZDIFF', backwards, true)
  return {'pairs', cut(one, 2), cut(other, 2)}
end

return readings[verb]()
