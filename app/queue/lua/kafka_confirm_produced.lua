-- A message for a job that another edge recorded is in Kafka: whatever becomes of that edge, the job is promised.
--
-- USES  _names
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, or 0 where the job was canceled, or is gone

local status = call('HGET', job_key(ARGV[1]), 'status')
if not status or status == 'canceled' then
  return 0
end
call('HSET', job_key(ARGV[1]), 'confirmed', '1')
return 1
