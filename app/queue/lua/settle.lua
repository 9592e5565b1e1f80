-- Stores the final outcomes of many jobs at once. The first final outcome of a job wins; one under a lease that is no longer
-- held is dropped.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  for each job eight: id, lease, status ('succeeded' or 'failed'), code, message, the app server's status ('' without
--       an answer), 1 or 0: whether its answer was small enough to keep, with a space and how long the request took
--       (milliseconds, '-' where none was sent), response
-- RETURN for each job 1, or 0 if the outcome was dropped
-- COST  O(log n) a job, 100 jobs a call at most

local FIELDS = 8

local ids, reply = {}, {}
for at = 1, #ARGV, FIELDS do
  push(ids, ARGV[at])
end
local ending, ended = new_ending(now_us()), {}
local function settle(state, id, lease, status, code, message, answer, stored, response)
  local held, attempts, started, worker, past, header_at = peek_state(state)
  if held ~= lease or ended[id] then
    return 0
  end
  ended[id] = true
  end_job(ending, id, state, header_at, attempts, started, status, code == '' and '-' or code, message,
    answer == '' and '-' or answer, stored, response, worker, past)
  return 1
end

for i, state in ipairs(call('HMGET', P .. 'state', unpack(ids))) do
  local at = (i - 1) * FIELDS
  reply[i] = state and settle(state, unpack(ARGV, at + 1, at + FIELDS)) or 0
end
write_ends(ending)
return reply
