-- The script that follows, for one of several sets: its keys, and its arguments.
local function hand_out(KEYS, ARGV)

