-- Run one command that reads, with its own reply.
--
-- KEYS[1]  its key
-- ARGV     its name, the words that follow its key
-- Reply    that of the command, as in RESP2, or its error
-- Cost     that of the command
-- Why      a cluster's client that reads from replicas sends such a command to a replica, which may
--          lack the last changes, and a script to the master
return redis.pcall(ARGV[1], KEYS[1], unpack(ARGV, 2))
