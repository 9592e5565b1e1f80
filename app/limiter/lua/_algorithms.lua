-- The algorithms that acquire.lua knows, by the names in app/limiter/algorithms.py. Each stands in a part of its own,
-- `_algorithm_<name>.lua`, which adds a function that makes a table of these functions:
--
--   load(quota, stored)        read its state; `stored` is the text of the counter, or false
--   owed(quota)                how many units count as spent now, after load
--   take_over(quota, units)    begin with so many units spent under another algorithm, instead of load
--   earliest(quota, horizon)   when a request of the quota's cost conforms; after the horizon if it never does
--   spend(quota, slot, place)  charge a request that is sent at this time; `place` names it among those in flight
--   correct(quota, units)      charge so many more units, or give them back; an algorithm need not have it
--   give_back(quota, slot, next)  give a slot back, unless something was spent since; `next`: when the next one was to be
--                              granted. Returns whether it was given back
--   remaining(quota)           how many units are left
--   reset(quota)               when all units will be free again
--   save(quota)                write its state to Redis
--   forget(key)                delete what it keeps beside the counter, which another algorithm has taken over
--
-- A quota is a table: key (its counter), interval, units, window and parameters ("interval units window revision") as the caller
-- gave them, revision, cost, changed (whether it must be saved), and what the algorithm keeps there. All times are relative to now.
--
-- `concurrency` keeps no text and knows no other algorithm's counter: it has no `owed`, `take_over`, `give_back`
-- and `forget`.
--
-- The text of a counter tells which algorithm keeps it: "tat parameters" is GCRA's, and every other one writes "time
-- parameters name" with a time of 16 digits, so that decide.lua can read either.

local algorithms = {}

-- The algorithm that keeps a counter, and the revision of its policy.
local function kept_by(stored)
  local revision, name = string.match(stored, '(%S+) (%a[%w_]*)$')
  if name then
    return name, tonumber(revision)
  end
  return 'gcra', tonumber(string.match(stored, '%S+$'))
end
