-- Compare two sets of the server.
--
-- KEYS[1], KEYS[2]  the sets
-- KEYS[3…] the liveness keys of those that are temporary, as algebra.lua has them
-- ARGV[1]  subset, proper_subset, equal or disjoint
-- ARGV[2…] for each liveness key the place of its set: 0 or 1
-- Reply    {'answer', 0 or 1}; or an error: {'expired', operand} or {'type', operand}
-- Cost     that of ZINTERCARD, and less if the sizes or the lowest members decide
-- Why      both sets are read at one moment
local fault = fault_of(2, 2)
if fault then return fault end
return {'answer', comparisons[ARGV[1]](KEYS[1], KEYS[2]) and 1 or 0}
