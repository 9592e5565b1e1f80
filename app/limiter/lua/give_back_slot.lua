-- Gives back a slot at which nothing was sent, to each counter that has granted nothing since: then the counter is as if the
-- slot had never been granted. What was granted later was paced by this slot, so the other counters keep it.
--
-- A call must not be repeated, because another flow may have a slot at the same time, which would be given back then.
--
-- USES   _acquiring
-- KEYS   the counters that the slot was charged to, without places in flight and without those that have units left
-- ARGV   1 slot_us  the slot, in microseconds of TIME
--        then for each counter seven:
--          algorithm, interval_us, units, window, revision, cost (as in acquire.lua), next_us: when it was to grant the next
--          slot, in microseconds of TIME, by the reply that granted this one
-- RETURN how many counters took it back
-- COST   O(1) for each counter; for a sliding window O(cost)

local HEADER, PER_COUNTER = 1, 7

local slot_us = tonumber(ARGV[1])

local given_back = 0
for i, key in ipairs(KEYS) do
  local first = HEADER + (i - 1) * PER_COUNTER
  local name, interval, units, window, revision, cost, next_us = unpack(ARGV, first + 1, first + PER_COUNTER)
  local quota = load_quota(key, name, interval, units, window, revision, tonumber(cost))
  if quota.algorithm.give_back(quota, slot_us - now, next_us - now) then
    given_back = given_back + 1
    save_quota(quota)
  end
end
return given_back
