-- A job backs off: out of the pending list, which holds only what is in flight, until its time to return.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 id   2 lease   3 delay_us   4 1: the attempt does not count   5 code   6 message
--       7 took_ms of the request   8 the app server's status; '' where there is none
-- RETURN 1, or 0 if the lease is no longer held
-- COST  O(log n)

local id, lease, delay, gives_back, code, message, took, answer = unpack(ARGV)
local job = read_job(id)
if not job or job.lease ~= lease then
  return 0
end
local now = now_us()
local at = math.min(now + tonumber(delay), job.deadline * 1000) -- nothing waits past its time
call('XACK', P .. 'jobs', 'workers', job.stream_id)
end_attempt(job, now / 1000, code, took, answer)
job.status, job.retry_at, job.code, job.message = 'retrying', int(at), code, one_line(message)
if gives_back == '1' then
  job.attempts = job.attempts - 1
end
save_state(id, job)
call('ZADD', P .. 'retry', int(at), id)
call('HINCRBY', flow_key(job.flow), 'backing_off', 1)
call('PUBLISH', P .. 'wake', '')
return 1
