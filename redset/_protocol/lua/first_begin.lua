-- The script that follows is the body of this function, for one of several sets: its keys, and its
-- arguments. first.lua ends the function.
local function deliver(KEYS, ARGV)

