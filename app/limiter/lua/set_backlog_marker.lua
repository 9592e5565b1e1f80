-- Set a backlog marker, which says that a flow has jobs waiting.
--
-- KEYS   1 the backlog marker
-- ARGV   1 value   begins with the time to live in milliseconds, so that a decision can renew the marker; or with 0
--        2 ttl_ms
-- RETURN OK
-- COST   O(1)

return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
