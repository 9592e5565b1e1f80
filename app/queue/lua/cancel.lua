-- Cancels jobs that have not been sent.
--
-- USES  _canceling
-- KEYS  1 the partition's prefix
-- ARGV  the ids
-- RETURN for each 1 canceled now, 2 canceled before, 0 it is being sent or has ended otherwise, -1 no such job
-- COST  O(log n) a job, 25 jobs a call at most

local ending, ended, reply = new_ending(now_us()), {}, {}
for i, id in ipairs(ARGV) do
  reply[i] = cancel_job(ending, ended, id)
end
write_ends(ending)
return reply
