-- Flows as operators see them; reads only.
--
-- USES  _flows _flow_counts
-- KEYS  1 the partition's prefix
-- ARGV  the flows
-- RETURN now_us, then for each flow that has jobs fifteen: nine counts (_flow_counts.lua); first_wait_us until its first
--        waiting job may be sent and interval_us between jobs, -1 for not known; the counter's rule that it waits for ('': not
--        known); 1 if it waits for a place among the requests in flight; hold_code; its priority
-- COST  O(log n) a flow, 20 flows a call at most

local now = now_us()
local reply = { now }

local function push_details(flow)
  local priority, ring, interval, parked, waits_for, hold_code, kafka = unpack(call('HMGET',
    flow_key(flow), 'priority', 'ring', 'interval', 'parked', 'waits_for', 'hold_code', 'kafka'))
  local first_wait, each = pace_of(flow, priority, ring, interval, now)
  if kafka and not first_wait and not parked then
    first_wait = 0 -- the flow is due as soon as a request is here
  end
  each = each or tonumber(call('HGET', rule_key(rule_of(flow)), 'interval') or -1)
  local limit_interval = ring and call('HGET', flow_key('~' .. ring), 'interval') or interval
  local n = #reply
  reply[n + 1], reply[n + 2] = not parked and first_wait and math.ceil(first_wait) or -1, math.ceil(each)
  reply[n + 3] = ring and rule_of(ring) or waits_for or ''
  reply[n + 4] = limit_interval == '0' and 1 or 0
  reply[n + 5], reply[n + 6] = hold_code or '', priority or '0'
end

for _, flow in ipairs(ARGV) do
  if push_counts(reply, flow) then
    push_details(flow)
  end
end
return reply
