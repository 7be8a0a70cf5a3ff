-- Count the members of a combination without storing it, and local members in addition.
--
-- KEYS[1…n] the sets, then the liveness keys of those that are temporary, as algebra.lua has them
-- ARGV[1]  union, intersection or difference
-- ARGV[2]  number n of sets
-- ARGV[3]  up to how many members of the combination are counted: 0 for all, -1 for none
-- ARGV[4…] for each liveness key the place of its operand, from 0; then the local members
-- Reply    {'answer', members of the sets' combination, local members}. Of the local members, a
--          union counts those that are in no set, an intersection those that are in all sets, a
--          difference those that are in the first set and in no other. Or an error: {'expired',
--          operand} or {'type', operand}
-- Cost     that of ZINTERCARD for one set or two, and for intersections; else O(n) for the members
--          of all sets except the largest, and if they are more than 10,000, for each further set;
--          O(1) for each local member and set
-- Why      all sets are read at one moment; nothing is written, so that a read-only replica answers
local operation, n, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local fault = fault_of(n, 4)
if fault then return fault end

local sets = {unpack(KEYS, 1, n)}
local whole = limit < 0 and 0 or counts[operation](sets, limit)
local members = {}
for i = 4 + #KEYS - n, #ARGV do members[#members + 1] = ARGV[i] end

local within, outside = sets, {}
if operation == 'union' then within, outside = {}, sets end
if operation == 'difference' then within, outside = {sets[1]}, {unpack(sets, 2)} end
return {'answer', whole, number_of_those(members, within, outside)}
