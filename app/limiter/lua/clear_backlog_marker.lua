-- Take a backlog marker away, if it is still the one that the caller set.
--
-- KEYS  1 the backlog marker
-- ARGV  1 the value that the caller set
-- RETURN 1 if it was deleted, else 0

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
