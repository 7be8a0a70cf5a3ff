-- Read a combination of sets without storing it, or the data from which a caller combines the sets
-- with local items.
--
-- KEYS[1…n] the sets, then the liveness keys of those that are temporary, as algebra.lua has them
-- ARGV[1]  union, intersection, difference, symmetric_difference; 'all', for all members of each
--          set; or 'scores', for the scores of given members in each set
-- ARGV[2]  number n of sets
-- ARGV[3]  which score wins: keep (that of the left set), replace, min, max or sum; keep for 'all'
--          and 'scores', whose scores the caller combines
-- ARGV[4]  how many members are wanted, 0 for all; for 'all', how many the sets may have altogether
-- ARGV[5]  'first' for the members with the lowest scores, 'last' for those with the highest
-- ARGV[6]  'scores' if scores are wanted, else 'members'
-- ARGV[7…] for each set its weight; for each liveness key the place of its set, from 0; members for
--          'scores'
-- Reply    {'members', members, in order}, only if no scores are wanted; or {'pairs', run, run, …},
--          each run of members with their scores: if a member is in several runs, its first score
--          counts, and the caller sorts them all; or {'scores', scores, …} for each set; or an
--          error: {'expired', operand}, {'type', operand}, {'no number', 0} as algebra.lua has it,
--          {'many', number of members} for 'all'
-- Cost     that of ZUNION, ZINTER, ZDIFF or ZRANGE, up to twice
-- Why      no aggregate of ZUNION lets the left score win, and all sets are read at one moment;
--          nothing is written, so that a read-only replica answers
local operation, n, conflict, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local from_end, with_scores = ARGV[5] == 'last', ARGV[6] == 'scores'
local fault = fault_of(n, 7 + n)
if fault then return fault end

local sets, weights, backwards = {}, {}, {}
for i = 1, n do
  sets[i], weights[i], backwards[n + 1 - i] = KEYS[i], ARGV[6 + i], KEYS[i]
end
if lacks_a_score(operation, conflict, sets, weights) then return {'no number', 0} end
local keeps = conflict == 'keep' or conflict == 'replace'
local precedence = conflict == 'replace' and backwards or sets

-- Return the wanted part of an ordered reply; each member has *width* words, 2 with its score.
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

-- Return the members of a set: all, or up to *most* of them.
local function whole(key, scored, most)
  local first, last = 0, most - 1
  if most > 0 and from_end then first, last = -most, -1 end
  if scored then return redis.call('ZRANGE', key, first, last, 'WITHSCORES') end
  return redis.call('ZRANGE', key, first, last)
end

-- Return the script's reply for a command whose reply is complete and in order.
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
  -- Each run has the members of one set that no earlier set has. If there are many sets, this would
  -- cost more than sending some members twice: then each run has all members of its set.
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
  -- An infinite score times 0 is no number: the members' scores are looked up instead.
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

return readings[operation]()
