-- The algorithms that acquire.lua knows, by the names in app/limiter/algorithms.py. Each stands in a part of its own,
-- `_algorithm_<name>.lua`, which adds a function that makes a table of these functions:
--
--   load(quota)                read its state from Redis
--   earliest(quota, horizon)   when a request of the quota's cost conforms; after the horizon if it never does
--   spend(quota, slot)         charge a request that is sent at this time
--   remaining(quota)           how many units are left
--   reset(quota)               when all units will be free again
--   save(quota)                write its state to Redis
--
-- A quota is a table: key (its counter), interval, units and parameters ("interval units revision") as the caller gave them,
-- revision, cost, changed (whether it must be saved), and what the algorithm keeps there. All times are relative to now.

local algorithms = {}
