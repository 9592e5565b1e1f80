-- A job with its attempts, and what its flow waits for.
--
-- USES  _views
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN nil where there is no such job; else the job as _views.lua describes it, then past, worker, leased and took as in
--        _records.lua, and now_us; then of its flow, if the job is not final: how many jobs it has that are not final, bytes
--        of their requests, what is paused where it is parked, hold_until, hold_code, the counter of its ring, how many flows
--        the ring has, until when a worker has it or its ring, and when it or its ring is due (microseconds); '' for what
--        there is not
-- COST  O(log n)

local id = ARGV[1]
local now = now_us()
local view = view_of(id, call('HGET', P .. 'state', id), now)
if not view then
  return nil
end
local job = read_job(id)
local reply = { view, job.past, job.worker, job.leased or '-', job.took or '-', int(now) }
if job.is_final then
  return reply
end
local open, bytes, parked, hold_until, hold_code, ring = unpack(
  call('HMGET', flow_key(job.flow), 'open', 'bytes', 'parked', 'hold_until', 'hold_code', 'ring'))
local unit = ring and '~' .. ring or job.flow
local held_until = lease_of(unit)
local due = call('ZSCORE', due_key(unit), unit)
push(reply, open or '0', bytes or '0')
push(reply, parked or '', hold_until or '')
push(reply, hold_code or '', ring or '')
push(reply, ring and int(call('ZCARD', ring_key(ring))) or '', held_until and int(held_until) or '')
push(reply, due and int(tonumber(due)) or '')
return reply
