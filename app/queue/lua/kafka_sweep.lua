-- Jobs whose edge died before it had produced their message are canceled: Kafka was read past the time at which that could
-- have happened, and the message was not there. Nobody was promised anything.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 how many Kafka partitions there are   2 margin_ms: how long after its record a message may be produced
--       3 how many flows at most                4 how many jobs at most
-- RETURN {how many were canceled, 1 if there may be more now}
-- COST  O(log n) a job, 25 jobs of 25 flows a call at most

local kafka_partitions, margin_ms, max_flows, look = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local read_until = call('HGETALL', P .. 'caught_up')
if #read_until / 2 < kafka_partitions then
  return { 0, 0 }
end
local oldest_ms
for i = 2, #read_until, 2 do
  oldest_ms = math.min(oldest_ms or math.huge, tonumber(read_until[i]))
end
local before_ms = oldest_ms - margin_ms

local now = now_us()
local ending = new_ending(now)

-- The jobs of a flow that were recorded before then; returns when its first one was that stays, nil without any.
local function sweep(flow)
  for _, id in ipairs(call('ZRANGE', awaiting_key(flow), 0, look - 1)) do
    look = look - 1
    local job = read_job(id)
    if tonumber(job.submitted) > before_ms then
      return tonumber(job.submitted) * 1000
    end
    if call('HGET', P .. 'kafka', id) == '+' then
      return now -- its message is in Kafka for sure, whatever was read: it is looked at again later
    end
    cancel_unsent(ending, id, job)
  end
  return call('EXISTS', awaiting_key(flow)) == 1 and before_ms * 1000 or nil
end

local flows = call('ZRANGEBYSCORE', P .. 'unread', '-inf', int(before_ms * 1000), 'LIMIT', 0, max_flows)
for _, flow in ipairs(flows) do
  if look <= 0 then
    break
  end
  local first = sweep(flow)
  if first then
    call('ZADD', P .. 'unread', int(first), flow)
  else
    call('ZREM', P .. 'unread', flow)
  end
end
write_unsent(ending)
local canceled = #ending.ids
return { canceled, canceled > 0 and (look <= 0 or #flows == max_flows) and 1 or 0 }
