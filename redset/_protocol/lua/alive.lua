-- Change a temporary set, unless it is gone: a plain command would create its key again.
--
-- KEYS[1]  the set
-- KEYS[2]  the liveness key of the set, as algebra.lua has it
-- ARGV     the name of a command, and its words after the key: fewer than the limit of Lua's stack
-- Reply    that of the command; an error if the set is gone, and then nothing was changed
-- Cost     that of the command
-- Why      between two commands, the set may expire
if is_gone(KEYS[2]) then return GONE end
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
