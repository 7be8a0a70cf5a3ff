-- Change a temporary set, unless it is gone: a plain command would make it anew.
--
-- KEYS[1]  the set
-- KEYS[2]  the sign that it is alive
-- ARGV     the name of a command, and its words after the key: fewer than Lua's stack takes
-- Reply    that of the command; an error if the set is gone, and then nothing was changed
-- Cost     that of the command
-- Why      a command between two others may find that the set has just run out
if is_gone(KEYS[2]) then return GONE end
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
