-- How a job is canceled that has not been sent.
--
-- USES _ending

-- ended: the ids of those that this call has canceled. Returns 1 canceled now, 2 canceled before, 0 it is being sent or has
-- ended otherwise, -1 no such job
local function cancel_job(ending, ended, id)
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
