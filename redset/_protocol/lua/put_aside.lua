-- Keep members that were taken and could not be deserialized.
--
-- KEYS     as delivering.lua has them
-- ARGV     when the set was to expire at the time they were taken, in milliseconds of the server's
--          clock, or '' if it had no time-to-live; score, member, score, member, ...
-- Reply    1
-- Cost     O(k log n) for k members
-- Why      the set may have a time-to-live, and these members may have been its only ones: then no
--          key is left that has it
local left = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
if left == -2 and ARGV[1] ~= '' then left = math.max(ARGV[1] - now_in_milliseconds(), 0) end
begin_writing()
redis.call('ZADD', undecodable, unpack(ARGV, 2))
inherit(left, undecodable)
return 1
