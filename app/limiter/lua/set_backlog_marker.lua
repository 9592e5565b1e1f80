-- Say that a flow has jobs waiting.
--
-- KEYS  1 the backlog marker
-- ARGV  1 its value, which begins with its time to live in milliseconds
--       2 its time to live in milliseconds
-- RETURN nothing of use

return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
