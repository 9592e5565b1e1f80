-- Give places back, whose requests are no longer in flight, and tell the workers that wait for one.
--
-- USES   _places
-- KEYS   the counters, each once
-- ARGV   for each place two: the number of its counter, the place
-- RETURN how many places there were
-- COST   O(log n) a place, 256 places a call at most

local given_back, freed = 0, {}
for at = 1, #ARGV, 2 do
  local counter = KEYS[tonumber(ARGV[at])]
  if redis.call('ZREM', counter, ARGV[at + 1]) == 1 then
    given_back = given_back + 1
    freed[counter] = true
  end
end
for counter in pairs(freed) do
  tell_waiting(counter)
end
return given_back
