-- Requests fetched from Kafka take their places in one flow, in its order. What left the flow meanwhile, or was refilled by
-- another worker, is skipped.
--
-- USES  _ending _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 flow, then for each job three: id, 1 if Kafka still has its request, request
-- RETURN {how many are resident now, how many ended as dead letters because their request is gone}
-- COST  O(log n) a job, 50 jobs a call at most

local flow = ARGV[1]
local now = now_us()
local refilled, lost = 0, new_ending(now)
for i = 2, #ARGV, 3 do
  local id, is_there, request = ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2]
  if call('ZRANGE', spilled_key(flow), 0, 0)[1] == id then
    call('ZREM', spilled_key(flow), id)
    local job = read_job(id)
    if is_there then
      make_resident(id, job, request, now)
      refilled = refilled + 1
    else
      end_read_job(lost, id, job, 'failed', 'expired', 'Kafka no longer has the request of the job.')
    end
  end
end
write_ends(lost)
if call('EXISTS', spilled_key(flow)) == 0 then
  call('ZREM', P .. 'spilled', flow)
else
  call('ZADD', P .. 'spilled', int(now), flow)
end
return { refilled, #lost.ids }
