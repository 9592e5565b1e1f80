-- Dead letters that are to be told to Kafka. They are not handed out again until the caller's time is over.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 how many at most   2 how long the caller has, microseconds
-- RETURN for each: id, flow, attempts, code, message, request

local now = now_us()
local reply = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'outbox', '-inf', int(now), 'LIMIT', 0, ARGV[1])) do
  local meta = read_meta(id)
  local status, attempts, code, message, request = unpack(
    call('HMGET', job_key(id), 'status', 'attempts', 'code', 'message', 'request'))
  if status ~= 'failed' then -- gone, or sent again meanwhile
    call('ZREM', P .. 'outbox', id)
  else
    call('ZADD', P .. 'outbox', int(now + tonumber(ARGV[2])), id)
    for _, field in ipairs({ id, meta.flow, attempts or '0', code or '', message or '', request or '' }) do
      reply[#reply + 1] = field
    end
  end
end
return reply
