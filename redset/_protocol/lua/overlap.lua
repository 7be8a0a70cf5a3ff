-- Count the members of a set, and how many of the given members are among them.
--
-- KEYS[1]  the set
-- ARGV     member, member, ...
-- Reply    the size of the set, and how many of the given members are in it
-- Cost     O(k) for k members
-- Why      both are counted at one moment
return {redis.call('ZCARD', KEYS[1]), number_of_those(ARGV, {KEYS[1]}, {})}
