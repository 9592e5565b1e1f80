-- Dead letters that are to be published to Kafka. They are not handed out again until the caller's time is over.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 how many at most   2 how long the caller has, microseconds
-- RETURN for each: {id, flow, attempts, code, message, request}
-- COST  O(log n) a dead letter, 100 a call at most

local limit, within_us = ARGV[1], tonumber(ARGV[2])
local now = now_us()
local reply = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'outbox', '-inf', int(now), 'LIMIT', 0, limit)) do
  local text = call('GET', job_key(id))
  local job = text and parse_final(text)
  if not job or job.status ~= 'failed' then -- gone, or sent again meanwhile
    call('ZREM', P .. 'outbox', id)
  else
    call('ZADD', P .. 'outbox', int(now + within_us), id)
    local request = sub(after_line(text), job.response_bytes + 1)
    reply[#reply + 1] = { id, job.flow, int(job.attempts), job.code, job.message, request }
  end
end
return reply
