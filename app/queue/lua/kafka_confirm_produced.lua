-- A message for a job that another edge recorded is in Kafka: whatever becomes of that edge, the job is promised.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, or 0 where the job was canceled, or is gone
-- COST  O(1)

local id = ARGV[1]
local job = read_job(id)
if not job or job.status == 'canceled' then
  return 0
end
if call('HGET', P .. 'kafka', id) == '-' then
  call('HSET', P .. 'kafka', id, '+')
end
return 1
