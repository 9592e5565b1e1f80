-- Nobody knows whether a job's message reached Kafka, and its client will be told that it was not accepted: it is never
-- sent, and its idempotency key is free again. Not where another edge has promised it meanwhile, or it was sent already.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1 canceled, 0 the job stands
-- COST  O(log n)

local id = ARGV[1]
local job = read_job(id)
if not job or job.status == 'canceled' then
  return 1
end
if job.status ~= 'queued' or call('HGET', P .. 'kafka', id) == '+' then
  return 0
end
local ending = new_ending(now_us())
cancel_unsent(ending, id, job)
write_unsent(ending)
return 1
