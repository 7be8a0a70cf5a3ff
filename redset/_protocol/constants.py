"""Constants that Python and the Lua scripts share. Imports nothing."""

# A waiting consumer asks the server again after this many seconds, with or without a notification.
RECHECK_SECONDS = 15.0
# The server deletes a result after this many seconds without use, and its set a minute later.
RESULT_SECONDS, GRACE_SECONDS = 600.0, 60.0
# The server remembers at most this many new keys of a set that was renamed.
MAX_MOVED = 100

# Their names and values in the scripts.
IN_LUA = {
    "RECHECK_MILLISECONDS": round(RECHECK_SECONDS * 1000),
    "GRACE_MILLISECONDS": round(GRACE_SECONDS * 1000),
    "MAX_MOVED": MAX_MOVED,
}
