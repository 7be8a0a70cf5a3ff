-- Write something and delete it, so that WAIT and WAITAOF wait for all that was written before.
--
-- KEYS[1]  a key that doesn't exist
-- Reply    1
-- Cost     O(1)
-- Why      WAIT waits for the last write of its own connection. A call that is repeated over another
--          connection, or that finds its change made already, writes nothing there: without this,
--          WAIT would count every replica at once, also one that lacks the change. The first
--          command lets a server that is short of memory accept the second one.
redis.call('UNLINK', KEYS[1])
redis.call('ZADD', KEYS[1], 0, '')
redis.call('UNLINK', KEYS[1])
return 1
