-- Keep members that were handed out and could not be turned into items.
--
-- KEYS     as leasing.lua has them
-- ARGV     when the set was to go as they were handed out, in milliseconds of the server's clock, or
--          '' if it was to stay; score, member, score, member, ...
-- Reply    1
-- Cost     O(k log n) for k members
-- Why      the set may have a time-to-live, and may have had nothing but these members
local left = time_left(set, leased, deliveries, seen, dead, letters, undecodable)
if left == -2 and ARGV[1] ~= '' then left = math.max(ARGV[1] - now_in_milliseconds(), 0) end
begin_writing()
redis.call('ZADD', undecodable, unpack(ARGV, 2))
inherit(left, undecodable)
return 1
