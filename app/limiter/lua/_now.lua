-- The time at which the script runs: `now`, in whole microseconds of TIME. All other times in these scripts are relative to
-- it, because a double holds the microseconds of this century only to a quarter, an error that would add up over many slots.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
