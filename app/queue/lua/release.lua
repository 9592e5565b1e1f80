-- Jobs that were leased and not sent return to their places in their flows; their attempts do not count.
--
-- USES  _rings
-- KEYS  1 the partition's prefix
-- ARGV  for each job two: id, lease
-- RETURN how many returned; not those that someone else holds meanwhile
-- COST  O(log n) a job, 100 jobs a call at most

local now = now_us()
local returned, acknowledged = 0, {}

-- A flow of a ring whose slot was missed has not had its turn.
local function return_turn(flow)
  local counter = call('HGET', flow_key(flow), 'ring')
  if counter then
    count_turns(flow, counter, -1)
  end
end

for at = 1, #ARGV, 2 do
  local id = ARGV[at]
  local job = read_job(id)
  if job and job.lease == ARGV[at + 1] then
    job.attempts, job.lease, job.worker, job.leased = job.attempts - 1, '-', '-', '-'
    if job.attempts == 0 and job.past == '-' then
      call('HDEL', P .. 'state', id)
    else
      job.status = job.attempts == 0 and 'queued' or 'retrying'
      save_state(id, job)
    end
    acknowledged[#acknowledged + 1] = job.stream_id
    return_to_flow(id, job, now)
    return_turn(job.flow)
    returned = returned + 1
  end
end
if #acknowledged > 0 then
  call('XACK', P .. 'jobs', 'workers', unpack(acknowledged))
end
return returned
