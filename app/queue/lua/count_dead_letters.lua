-- Counts the dead letters that a filter finds among the next ones of its times, the oldest first.
--
-- USES  _dead_letters
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 descriptor   3 code of the error   4 status of the last answer ('' for any)
--       5 since, 6 until: times of failure (microseconds)   7 the time of failure and   8 the id to go on after, '' for the first
--       9 look: how many to look at, 0 for none
-- RETURN {the time now, how many failed in these times, how many were looked at, how many of those the filter finds, 1 if there
--         may be more, the time of failure and the id to go on after}
-- COST  O(log n) a dead letter looked at, 100 a call at most

local filter, after_us, after_id, look = filter_at(1), ARGV[7], ARGV[8], tonumber(ARGV[9])

local of_these_times = call('ZCOUNT', DEAD, int(filter.since), int(filter.upto))
local found, more = oldest_behind(filter, after_us, after_id, look)
local wanted = 0
for at = 1, #found, 2 do
  local job = read_job(found[at])
  if job and is_wanted(job, filter) then
    wanted = wanted + 1
  end
end
return {
  int(now_us()), of_these_times, #found / 2, wanted, more and 1 or 0, found[#found] or after_us, found[#found - 1] or after_id,
}
