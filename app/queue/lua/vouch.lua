-- A message for a job that another edge recorded is in Kafka: whatever becomes of that edge, the job is promised.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, or 0 where the job was canceled, or is gone

local status = redis.call('HGET', job_key(ARGV[1]), 'status')
if not status or status == 'canceled' then
  return 0
end
redis.call('HSET', job_key(ARGV[1]), 'vouched', '1')
return 1
