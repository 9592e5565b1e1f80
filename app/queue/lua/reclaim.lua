-- Jobs whose worker went away return to their places in their flows, or end as dead letters at their last attempt.
--
-- A call that a Redis which hung, or a network, has held back does nothing: leases may have ended meanwhile though their
-- workers live.
--
-- USES  _flows _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 consumer   2 min_idle_ms   3 cursor   4 count   5 after how many idle ms a consumer without jobs is forgotten
--       6 until_us: when the call is too old, in microseconds of TIME
-- RETURN {next cursor, returned, dead, now_us}
-- COST  O(log n) a job, 25 jobs a call at most

local consumer, min_idle, cursor, count, forgotten_after = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local until_us = tonumber(ARGV[6])
local now = now_us()
if now > until_us then
  return { '0-0', 0, 0, now }
end
local reply = call('XAUTOCLAIM', P .. 'jobs', 'workers', consumer, min_idle, cursor, 'COUNT', count)
local returned, dead = 0, new_ending(now)
for _, found in ipairs(reply[2]) do
  if found then -- before Redis 7 a deleted entry is reported as nothing
    local stream_id, id = found[1], found[2] and found[2][2]
    local job = id and read_job(id)
    call('XACK', P .. 'jobs', 'workers', stream_id)
    if not job or job.is_final then
      call('XDEL', P .. 'jobs', stream_id)
    elseif job.status == 'running' then
      end_attempt(job, now / 1000, 'worker_gone', '', '')
      if job.attempts >= job.max_attempts then
        local message = 'The worker that sent the job went away at the last attempt.'
        end_read_job(dead, id, job, 'failed', 'attempts_exhausted', message)
      else
        job.status = 'retrying'
        save_state(id, job)
        return_to_flow(id, job, now)
        returned = returned + 1
      end
    end
  end
end
write_ends(dead)

-- A consumer is a worker's name; those of workers that went away would pile up.
if reply[1] == '0-0' then
  for _, fields in ipairs(call('XINFO', 'CONSUMERS', P .. 'jobs', 'workers')) do
    local name, pending, idle = fields[2], fields[4], fields[6]
    if pending == 0 and idle >= forgotten_after and name ~= consumer then
      call('XGROUP', 'DELCONSUMER', P .. 'jobs', 'workers', name)
    end
  end
end
return { reply[1], returned, #dead.ids, now }
