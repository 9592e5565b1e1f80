-- Cancel a job that has not been sent.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1 canceled (now or before), 0 it runs or is final, -1 no such job

local key = job_key(ARGV[1])
local status = call('HGET', key, 'status')
if not status then
  return -1
end
if status == 'canceled' then
  return 1
end
if status ~= 'queued' and status ~= 'retrying' then
  return 0
end
local meta = read_meta(ARGV[1])
leave(ARGV[1], meta)
call('ZREM', P .. 'retry', ARGV[1])
finish(ARGV[1], meta, 'canceled', now_us(), {})
return 1
