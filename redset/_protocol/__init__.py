"""The protocol: keys, commands, replies, members, scores and the Lua scripts. No I/O."""
