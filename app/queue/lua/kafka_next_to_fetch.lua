-- Which requests to fetch from Kafka next: of flows that have less than half of what they may hold. Each such flow is not
-- looked at again until the caller has put them in, or its time is over.
--
-- USES  _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 window   2 most request bytes   3 most of `maxmemory` for requests   4 for references (see admit.lua)
--       5 how long the caller has, microseconds   6 how many flows at most   7 how many bytes at most, roughly
-- RETURN {wait_us until a flow is worth a look, -1 for never, then for each job two: flow, "<id> <partition> <offset> <bytes>"}

local LOOK_US = { 20000, 1000000 } -- the shortest and the longest wait for a flow that has enough

local now = now_us()
local room = room_of(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
local budget = tonumber(ARGV[7])
local reply = { 0 }

local function wanted_of(flow)
  local depth = call('LLEN', list_key(flow))
  if depth * 2 > room.window then
    return 0, depth
  end
  local count = 0
  for _, reference in ipairs(call('LRANGE', spilled_key(flow), 0, room.window - depth - 1)) do
    local bytes = tonumber(string.match(reference, '%d+$'))
    if not may_be_resident(room, depth + count, bytes) or (budget <= 0 and count > 0) then
      break
    end
    room.used, room.bytes, budget = room.used + bytes, room.bytes + bytes, budget - bytes
    count = count + 1
    reply[#reply + 1] = flow
    reply[#reply + 1] = reference
  end
  return count, depth
end

for _, flow in ipairs(call('ZRANGEBYSCORE', P .. 'spilled', '-inf', int(now), 'LIMIT', 0, ARGV[6])) do
  if call('LLEN', spilled_key(flow)) == 0 then
    call('ZREM', P .. 'spilled', flow)
  else
    local count, depth = wanted_of(flow)
    local look_us = tonumber(ARGV[5])
    if count == 0 then
      local interval = tonumber(call('HGET', rule_key(rule_of(flow)), 'interval') or 0)
      look_us = math.max(LOOK_US[1], math.min(LOOK_US[2], depth * interval / 4))
    end
    call('ZADD', P .. 'spilled', int(now + look_us), flow)
    if budget <= 0 then
      break
    end
  end
end
local first = call('ZRANGE', P .. 'spilled', 0, 0, 'WITHSCORES')[2]
reply[1] = first and math.ceil(math.max(0, first - now)) or -1
return reply
