-- Jobs whose edge died before it had produced their message: Kafka was read past the time at which that could have
-- happened, and it was not there. Nobody was promised anything; they are canceled.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 how many Kafka partitions there are   2 margin_ms: how long after its record a message may be produced
--       3 how many flows at most                4 how far to look into a flow
-- RETURN {how many were canceled, 1 if there may be more now}

local read_until = call('HGETALL', P .. 'caught_up')
if #read_until / 2 < tonumber(ARGV[1]) then
  return { 0, 0 }
end
local oldest_ms
for i = 2, #read_until, 2 do
  oldest_ms = math.min(oldest_ms or math.huge, tonumber(read_until[i]))
end
local before = (oldest_ms - tonumber(ARGV[2])) * 1000

local now = now_us()
local canceled = 0
local flows = call('ZRANGEBYSCORE', P .. 'unread', '-inf', int(before), 'LIMIT', 0, ARGV[3])
for _, flow in ipairs(flows) do
  local waiting_ids = call('ZRANGEBYSCORE', awaiting_key(flow), '-inf', int(before), 'LIMIT', 0, ARGV[4])
  for _, id in ipairs(waiting_ids) do
    if call('HEXISTS', job_key(id), 'confirmed') == 0 then
      cancel_unsent(id, now)
      canceled = canceled + 1
    else -- it is in Kafka for sure, whatever was read
      call('ZADD', awaiting_key(flow), int(now), id)
    end
  end
  local first = call('ZRANGE', awaiting_key(flow), 0, 0, 'WITHSCORES')[2]
  if first then
    call('ZADD', P .. 'unread', first, flow)
  else
    call('ZREM', P .. 'unread', flow)
  end
end
return { canceled, #flows == tonumber(ARGV[3]) and canceled > 0 and 1 or 0 }
