-- Cancels jobs that have not been sent.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  the ids
-- RETURN for each 1 canceled now, 2 canceled before, 0 it is being sent or has ended otherwise, -1 no such job
-- COST  O(log n) a job, 25 jobs a call at most

local ending, ended = new_ending(now_us()), {}
local function cancel(id)
  local job = read_job(id)
  if not job then
    return -1
  end
  if ended[id] or job.status == 'canceled' then
    return 2
  end
  if job.status ~= 'queued' and job.status ~= 'retrying' then
    return 0
  end
  ended[id] = true
  leave_flow(id, job)
  end_backoff(id, job.flow)
  end_read_job(ending, id, job, 'canceled')
  return 1
end

local reply = {}
for i, id in ipairs(ARGV) do
  reply[i] = cancel(id)
end
write_ends(ending)
return reply
