-- Takes what is due: flows, and rings of flows that take turns. Each is pushed a flow lease ahead and gets a new token,
-- without which nobody leases its jobs.
--
-- USES  _flows
-- KEYS  1 the partition's prefix
-- ARGV  1 max_units   2 flow_lease_us   3 token, unique to this call   4 look: how many jobs of a flow to look at
--       5 turns: how many flows of a ring to name
-- RETURN {wait_us until something is due, -1 for never, now_us, then for each flow {late_us, flow}, and for each ring
--        {its name, late_us, flows in it, flow...}}
--        late_us: for how long it had been due   flow: {name, depth, same_cost, costs} (describe in _flows.lua)
-- COST  O(log n) a flow taken, 128 units of 64 flows at most; returns at most 100 jobs from backoff

local max_units, flow_lease, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local look, turns = tonumber(ARGV[4]), tonumber(ARGV[5])

local now = now_us()
local more_retries = return_retries(now)
local held = int(now + flow_lease)
local has_rings = call('EXISTS', P .. 'rings') == 1
local reply, wait = { 0, now }, -1

local function sooner(score)
  if score then
    local from_now = math.max(0, score - now)
    wait = wait < 0 and from_now or math.min(wait, from_now)
  end
end

local due, due_no_more = {}, {}
local function hold(priority, unit)
  push(list_of(due, priority), held, unit)
  call('HSET', flow_key(unit), 'token', token, 'held', held)
end

-- A flow that is due joins the ring of a counter for which others wait: it would pass them otherwise.
local function joins_a_ring(flow)
  local counter = has_rings and contended_counter(flow)
  if counter then
    join_ring(flow, counter, nil, now)
  end
  return counter
end

local function take_flow(priority, flow, due_at)
  local described = describe(flow, look)
  if described[3] == 0 then
    push(list_of(due_no_more, priority), flow)
  elseif not joins_a_ring(flow) then
    hold(priority, flow)
    push(reply, { now - due_at, described })
  end
end

local function take_ring(priority, unit, due_at)
  local counter = sub(unit, 2)
  local unit_reply = { unit, now - due_at, call('ZCARD', ring_key(counter)) }
  for _, flow in ipairs(call('ZRANGE', ring_key(counter), 0, turns - 1)) do
    local described = describe(flow, look)
    if described[3] == 0 then
      leave_ring(flow, counter)
    else
      push(unit_reply, described)
    end
  end
  if #unit_reply == 4 and unit_reply[3] == 1 and tonumber(call('HGET', P .. 'counters', counter) or 0) <= 1 then
    local flow = unit_reply[4][1] -- nobody to take turns with any more
    leave_ring(flow, counter)
    hold(call('HGET', flow_key(flow), 'priority') or '0', flow)
    push(reply, { unit_reply[2], unit_reply[4] })
  elseif #unit_reply > 3 then
    hold(priority, unit)
    push(reply, unit_reply)
  end
end

local priorities = call('ZREVRANGE', P .. 'priorities', 0, -1)
for _, priority in ipairs(priorities) do
  local left = max_units - (#reply - 2)
  local units = left > 0
    and call('ZRANGEBYSCORE', P .. 'due:' .. priority, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, left) or {}
  for at = 1, #units, 2 do
    local take = sub(units[at], 1, 1) == '~' and take_ring or take_flow
    take(priority, units[at], units[at + 1])
  end
end
update_due(due, due_no_more)
for _, priority in ipairs(priorities) do
  sooner(call('ZRANGE', P .. 'due:' .. priority, 0, 0, 'WITHSCORES')[2])
end
sooner(more_retries and now or call('ZRANGE', P .. 'retry', 0, 0, 'WITHSCORES')[2])
reply[1] = math.ceil(wait)
return reply
