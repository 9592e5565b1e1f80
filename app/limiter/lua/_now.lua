-- The time at which the script runs: `now`, in whole microseconds of TIME. All other times in these scripts are relative to
-- it, because a double holds the microseconds of this century only to a quarter, an error that would add up over many slots.
--
-- TIME may step back, when the machine's clock is set or another Redis takes over. What is written of a later time than any
-- slot that a worker may ask for tells.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local FURTHEST_SLOT_US = 4000000
