-- Delete a backlog marker if it still has the value that the caller set (compare and delete).
--
-- KEYS   1 the backlog marker
-- ARGV   1 value  the value that the caller set
-- RETURN 1 if it was deleted, else 0
-- COST   O(1)

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
