-- Cancels a job that has not been sent.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1 canceled (now or before), 0 it is being sent or is final, -1 no such job
-- COST  O(log n)

local id = ARGV[1]
local job = read_job(id)
if not job then
  return -1
end
if job.status == 'canceled' then
  return 1
end
if job.status ~= 'queued' and job.status ~= 'retrying' then
  return 0
end
leave_flow(id, job)
end_backoff(id, job.flow)
local ending = new_ending(now_us())
end_read_job(ending, id, job, 'canceled')
write_ends(ending)
return 1
