-- Delete a backlog marker, unless it was set for jobs that were seen later (compare and delete).
--
-- KEYS   1 the backlog marker
-- ARGV   1 at_us  when it was seen that no jobs wait, by the queue's clock
-- RETURN 1 if it was deleted, else 0
-- COST   O(1)

local at_us = tonumber(ARGV[1])
local marker = redis.call('GET', KEYS[1])
local set_at_us = marker and tonumber(string.match(marker, '%d+$'))
if set_at_us and set_at_us <= at_us then
  return redis.call('DEL', KEYS[1])
end
return 0
