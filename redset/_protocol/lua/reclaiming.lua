-- How many members of expired leases and ended delays one request may still return to their sets:
-- those of several sets count together. The next request goes on.
local expired_left = 250
