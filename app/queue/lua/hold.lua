-- An app server answered a job of a flow that it takes no more for now: the job returns to its place, its attempt does not
-- count, and the flow is held. The hold grows with each such answer in a row, and lasts for as long as the app server asks
-- for. Jobs of the flow that were in flight at the same time do not make it longer.
--
-- USES  _rings
-- KEYS  1 the partition's prefix
-- ARGV  1 id   2 lease   3 base_us: the first hold   4 max_us: the longest by itself   5 asked_us: what the app server asks for
--       6 code   7 message   8 took_ms of the request   9 the app server's status; '' where there is none
-- RETURN 1, or 0 if the lease is no longer held
-- COST  O(log n)

local id, lease, base, max, asked, code, message, took, answer = unpack(ARGV)
local now = now_us()
local job = read_job(id)
if not job or job.lease ~= lease then
  return 0
end

local key = flow_key(job.flow)
local refusals, hold_until = unpack(call('HMGET', key, 'refusals', 'hold_until'))
refusals, hold_until = tonumber(refusals or 0), tonumber(hold_until or 0)
local hold = tonumber(asked)
if hold_until <= now then
  refusals = refusals + 1
  hold = math.max(hold, math.min(tonumber(max), tonumber(base) * 2 ^ math.min(refusals - 1, 40)))
end
-- A job that waits for too long ends then; nothing waits past its time for an app server.
hold_until = math.max(hold_until, math.min(now + hold, job.deadline * 1000))

end_attempt(job, now / 1000, code, took, answer)
job.attempts, job.code, job.message = job.attempts - 1, code, one_line(message)
job.status = job.attempts == 0 and 'queued' or 'retrying'
save_state(id, job)
call('XACK', P .. 'jobs', 'workers', job.stream_id)
return_to_place(id, job)
call('HSET', key, 'refusals', refusals, 'hold_until', int(hold_until), 'hold_code', code)
end_flow_lease(job.flow)
local parked, ring = unpack(call('HMGET', key, 'parked', 'ring'))
if ring then
  leave_ring(job.flow, ring)
end
if not parked then
  call('ZADD', due_key(job.flow), int(hold_until), job.flow)
end
return 1
