"""Constants that Python and the Lua scripts share. Imports nothing."""

# A waiting consumer looks at the server again after this many seconds, whatever it is told.
RECHECK_SECONDS = 15.0
# The server deletes a result after this many seconds without use, and its set a minute later.
RESULT_SECONDS, GRACE_SECONDS = 600.0, 60.0
# A set that was renamed leaves at most this many traces.
MAX_MOVED = 100

# As the scripts know them.
IN_LUA = {
    "RECHECK_MILLISECONDS": round(RECHECK_SECONDS * 1000),
    "GRACE_MILLISECONDS": round(GRACE_SECONDS * 1000),
    "MAX_MOVED": MAX_MOVED,
}
