-- Stores the final outcomes of many jobs at once. The first final outcome of a job wins; one under a lease that is no longer
-- held is dropped.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  for each job eight: id, lease, status ('succeeded' or 'failed'), code, message, the app server's status ('' without
--       an answer), 1 if its answer was small enough to keep, response
-- RETURN for each job 1, or 0 if the outcome was dropped
-- COST  O(log n) a job, 100 jobs a call at most

local FIELDS = 8

local now = now_us()
local ids = {}
for at = 1, #ARGV, FIELDS do
  ids[#ids + 1] = ARGV[at]
end
local states = call('HMGET', P .. 'state', unpack(ids))
local ends, ended, reply = {}, {}, {}
for i, id in ipairs(ids) do
  local _, lease, status, code, message, answer, stored, response = unpack(ARGV, 1 + (i - 1) * FIELDS, i * FIELDS)
  local job = states[i] and not ended[id] and parse_state(states[i])
  if job and job.lease == lease then
    ended[id] = true
    ends[#ends + 1] = {
      id = id, job = job, status = status, code = code ~= '' and code, message = message,
      answer = answer ~= '' and answer, stored = stored, response = response,
    }
    reply[i] = 1
  else
    reply[i] = 0
  end
end
if #ends > 0 then
  finish_all(ends, now)
end
return reply
