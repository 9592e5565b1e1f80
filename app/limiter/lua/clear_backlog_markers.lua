-- Delete backlog markers, except those that were set for jobs that were seen later (compare and delete).
--
-- KEYS   the backlog markers
-- ARGV   for each marker at_us: when it was seen that no jobs wait, by the queue's clock
-- RETURN how many were deleted
-- COST   O(1) a marker, 128 markers a call at most

local deleted = 0
for i, marker in ipairs(redis.call('MGET', unpack(KEYS))) do
  local set_at_us = marker and tonumber(string.match(marker, '%d+$'))
  if set_at_us and set_at_us <= tonumber(ARGV[i]) then
    deleted = deleted + redis.call('DEL', KEYS[i])
  end
end
return deleted
