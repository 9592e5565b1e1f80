-- Extend the leases of places whose requests are still in flight. A place whose lease had ended is taken again, since its
-- request is there, even if that makes one too many.
--
-- USES   _now
-- KEYS   the counters, each once
-- ARGV   1 lease_us; then for each place two: the number of its counter, the place
-- RETURN how many leases had ended
-- COST   O(log n) a place, 256 places a call at most

local lease_us = tonumber(ARGV[1])
local ends_at = string.format('%d', now + lease_us)
local ended = 0
for at = 2, #ARGV, 2 do
  ended = ended + redis.call('ZADD', KEYS[tonumber(ARGV[at])], ends_at, ARGV[at + 1])
end
for _, counter in ipairs(KEYS) do
  redis.call('PEXPIRE', counter, math.ceil(lease_us / 1000) + FURTHEST_SLOT_US / 1000)
end
return ended
