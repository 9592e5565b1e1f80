-- Which requests to fetch from Kafka next: of flows that have less than half of what may be resident. Each such flow is not
-- looked at again until the caller has refilled it, or its time is over.
--
-- USES  _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 window   2 most request bytes   3 most of `maxmemory` for requests   4 for references (see kafka_admit.lua)
--       5 how long the caller has, microseconds   6 how many flows at most   7 how many bytes at most, roughly
-- RETURN {wait_us until a flow is worth a look, -1 for never, then for each job {flow, id, "<partition> <offset> <bytes>"}}
-- COST  O(log n) a job, 1,000 jobs a call at most

local SHORTEST_WAIT_US, LONGEST_WAIT_US = 20000, 1000000 -- for a flow that has enough
local MAX_JOBS = 1000

local capacity = read_capacity(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
local within_us, max_flows, budget = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local now = now_us()
local reply = { 0 }

local function fetch_for(flow)
  local depth = call('ZCARD', fifo_key(flow))
  if depth * 2 > capacity.window then
    return 0, depth
  end
  local count = 0
  local ids = call('ZRANGE', spilled_key(flow), 0, math.min(MAX_JOBS - #reply, capacity.window - depth - 1))
  for _, id in ipairs(ids) do
    local place = call('HGET', P .. 'kafka', id)
    local bytes = tonumber(match(place, '%d+$'))
    if not may_be_resident(capacity, depth + count, bytes) or (budget <= 0 and count > 0) then
      break
    end
    capacity.used, capacity.bytes, budget = capacity.used + bytes, capacity.bytes + bytes, budget - bytes
    count = count + 1
    reply[#reply + 1] = { flow, id, place }
  end
  return count, depth
end

for _, flow in ipairs(call('ZRANGEBYSCORE', P .. 'spilled', '-inf', int(now), 'LIMIT', 0, max_flows)) do
  if call('EXISTS', spilled_key(flow)) == 0 then
    call('ZREM', P .. 'spilled', flow)
  else
    local count, depth = fetch_for(flow)
    local wait_us = within_us
    if count == 0 then
      local interval = tonumber(call('HGET', rule_key(rule_of(flow)), 'interval') or 0)
      wait_us = math.max(SHORTEST_WAIT_US, math.min(LONGEST_WAIT_US, depth * interval / 4))
    end
    call('ZADD', P .. 'spilled', int(now + wait_us), flow)
    if budget <= 0 or #reply > MAX_JOBS then
      break
    end
  end
end
local first = call('ZRANGE', P .. 'spilled', 0, 0, 'WITHSCORES')[2]
reply[1] = first and math.ceil(math.max(0, first - now)) or -1
return reply
