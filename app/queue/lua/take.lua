-- Takes what is due: flows, and rings of flows that take turns. Each is pushed a flow lease ahead and gets a new token,
-- without which nobody leases its jobs.
--
-- USES  _rings _clock
-- KEYS  1 the partition's prefix
-- ARGV  1 max_units   2 flow_lease_us   3 token, unique to this call   4 look: how many jobs of a flow to look at
--       5 turns: how many flows of a ring to name
-- RETURN wait_us until something is due, -1 for never; now_us; then for each unit three and its flows: late_us, for how long
--        it had been due; '' for a flow, the name of a ring; how many flows are in it; how many of them follow, each with
--        four: name, depth, same_cost, costs (describe in _flows.lua)
-- COST  O(log n) a flow looked at, 255 at most, those of rings too; returns at most 50 jobs from backoff; after the clock has
--       stepped back, O(log n) for each of about 50 more flows

local MOST_LOOKED_AT = 192 -- what is due beyond these flows is for the next call

local max_units, flow_lease, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local look, turns = tonumber(ARGV[4]), tonumber(ARGV[5])

local now = now_us()
note_time(now)
local is_rewinding = rewind(now)
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

local due, due_no_more, is_taken, leases = {}, {}, {}, {}
local function hold(priority, unit)
  push(list_of(due, priority), held, unit)
  push(leases, held_key(unit), write_flow_lease(token, priority, held, '-', '-'))
end

-- A flow that is due joins the ring of a counter for which others wait: it would pass them otherwise.
local function joins_a_ring(flow)
  local counter = has_rings and contended_counter(flow)
  if counter then
    join_ring(flow, counter)
  end
  return counter
end

local taken, looked_at = 0, 0
local function push_unit(due_at, ring, size, flows)
  taken = taken + 1
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = now - due_at, ring, size, flows
end

local function take_flow(priority, flow, due_at, is_unsent)
  looked_at = looked_at + 1
  if is_unsent then
    push(list_of(due, priority), int(now + LOOK_AGAIN_US), flow)
    return
  end
  local depth, same_cost, costs = look_at(flow, look)
  if same_cost == 0 then
    push(list_of(due_no_more, priority), flow)
  elseif not joins_a_ring(flow) then
    hold(priority, flow)
    push_unit(due_at, '', 1, 1)
    push_flow(reply, flow, depth, same_cost, costs)
  end
end

local function take_flow_of_ring(flows, flow, counter, is_unsent)
  looked_at = looked_at + 1
  if is_unsent then
    stand_aside(flow, counter, now)
    return
  end
  local depth, same_cost, costs = look_at(flow, look)
  if same_cost == 0 then
    leave_ring(flow, counter)
  else
    push_flow(flows, flow, depth, same_cost, costs)
  end
end

local function take_ring(_, unit, due_at)
  local counter, flows = sub(unit, 2), {}
  local next_flows = call('ZRANGE', ring_key(counter), 0, turns - 1)
  local unsent = unsent_by_others(next_flows, token)
  for i, flow in ipairs(next_flows) do
    take_flow_of_ring(flows, flow, counter, unsent[i])
  end
  local flow, size = flows[1], call('ZCARD', ring_key(counter))
  if not flow then
    return
  end
  is_taken[unit] = true
  if size == 1 and tonumber(call('HGET', P .. 'counters', counter) or 0) <= 1 then
    leave_ring(flow, counter) -- nobody to take turns with any more
    hold(call('HGET', flow_key(flow), 'priority') or '0', flow)
    unit = ''
  else
    hold(call('HGET', flow_key(unit), 'priority'), unit) -- those that left it may have had the highest
  end
  push_unit(due_at, unit, size, #flows / 4)
  for _, field in ipairs(flows) do
    reply[#reply + 1] = field
  end
end

-- The units that are due at a priority, and since when.
local function due_units(priority)
  local left, units, times = max_units - taken, {}, {}
  local found = left > 0
    and call('ZRANGEBYSCORE', P .. 'due:' .. priority, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, left) or {}
  for at = 1, #found, 2 do
    local n = #units + 1
    units[n], times[n] = found[at], found[at + 1]
  end
  return units, times
end

local priorities = call('ZREVRANGE', P .. 'priorities', 0, -1)
for _, priority in ipairs(priorities) do
  local units, times = due_units(priority)
  local unsent = unsent_by_others(units, token)
  for i, unit in ipairs(units) do
    if looked_at >= MOST_LOOKED_AT then
      break
    end
    local take = is_ring(unit) and take_ring or take_flow
    if not is_taken[unit] then -- a ring whose priority fell meanwhile comes again
      take(priority, unit, times[i], unsent[i])
    end
  end
end
update_due(due, due_no_more)
if #leases > 0 then
  call('MSET', unpack(leases))
end
for _, priority in ipairs(priorities) do
  sooner(call('ZRANGE', P .. 'due:' .. priority, 0, 0, 'WITHSCORES')[2])
end
sooner((more_retries or is_rewinding) and now or call('ZRANGE', P .. 'retry', 0, 0, 'WITHSCORES')[2])
reply[1] = math.ceil(wait)
return reply
