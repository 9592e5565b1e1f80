-- Flows: when they are worth a look, and what a worker is told of them.
--
-- A flow that has waiting jobs stands in `due`, or in the ring of the counter that it waits for where other open flows are
-- charged for that counter too (_rings.lua).
--
-- USES _names _records _flow_leases

local function due_key(unit)
  return P .. 'due:' .. (call('HGET', flow_key(unit), 'priority') or '0')
end

local function waiting(flow)
  return call('ZCARD', fifo_key(flow)) + call('ZCARD', spilled_key(flow)) + call('ZCARD', awaiting_key(flow))
end

-- How many of the next jobs cost the same as the very first, at most n, and what that is.
local function same_cost_prefix(flow, n)
  local members = call('ZRANGE', fifo_key(flow), 0, n - 1)
  if #members == 0 then
    return 0, '-'
  end
  local _, costs = parse_member(members[1])
  local same = 1
  while same < #members do
    local _, next_costs = parse_member(members[same + 1])
    if next_costs ~= costs then
      break
    end
    same = same + 1
  end
  return same, costs
end

-- What a worker is told of a flow: depth, same_cost, costs. depth: how many jobs wait, those on Kafka too; same_cost: how
-- many of the next jobs cost the same, looking at `look` jobs at most where not all do; costs: what they cost. mixed, kafka:
-- these fields of its hash
local function describe(flow, mixed, kafka, look)
  local here = call('ZCARD', fifo_key(flow))
  local depth = kafka and waiting(flow) or here
  if mixed then
    return depth, same_cost_prefix(flow, look)
  end
  return depth, here, '-'
end

-- A lease notes the last job of a flow that it gave out, until the worker says that all of them
-- were sent or have returned. A worker that was stopped for longer than its flow lease may still have some in hand, and
-- nobody may send those behind them before they return. It sends in order: once the last one has an outcome, none is left.
local function is_unsent_by_another(lease, token)
  local last, of = unsent_of(lease)
  if not last or of == token then
    return false
  end
  local state = call('HGET', P .. 'state', last)
  return state and sub(state, 1, 8) == 'running '
end

-- The same for a flow whose hash was not read.
local function look_at(flow, look)
  local mixed, kafka = unpack(call('HMGET', flow_key(flow), 'mixed', 'kafka'))
  return describe(flow, mixed, kafka, look)
end

-- Which of these flows another worker may have jobs in hand of, by their places in the list.
local function unsent_by_others(flows, token)
  local keys = {}
  for i, flow in ipairs(flows) do
    keys[i] = held_key(flow)
  end
  local found = #keys > 0 and call('MGET', unpack(keys)) or {}
  for i, lease in ipairs(found) do
    found[i] = lease and is_unsent_by_another(lease, token)
  end
  return found
end

-- Appends a flow to a reply, which is flat: Redis sends each table of a reply by itself.
local function push_flow(reply, flow, depth, same_cost, costs)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = flow, depth, same_cost, costs
end

-- A flow or a ring gets another priority. due: the time at which it is due, nil or false where it is not
local function set_priority(unit, old, priority, due)
  call('HSET', flow_key(unit), 'priority', priority)
  local lease = call('GET', held_key(unit))
  if lease and lease_of(unit) then
    local changed = string.gsub(lease, ' %S+', ' ' .. priority, 1)
    call('SET', held_key(unit), changed)
  end
  if due then
    call('ZREM', P .. 'due:' .. old, unit)
    call('ZADD', P .. 'due:' .. priority, due, unit)
  end
end

local LOOK_AGAIN_US = 50000 -- how soon, where another worker may have jobs of a flow in hand

-- Changes `due` for many flows and rings. added: priority to {time, unit, time, unit...}; removed: priority to {unit...}
local function update_due(added, removed)
  for priority, units in pairs(added) do
    call('ZADD', P .. 'due:' .. priority, unpack(units))
  end
  for priority, units in pairs(removed) do
    call('ZREM', P .. 'due:' .. priority, unpack(units))
  end
end

-- Flows that have a waiting job are due, unless they are already. due: priority to {time, flow, time, flow...}
local function make_all_due(due)
  local added = 0
  for priority, flows in pairs(due) do
    added = added + call('ZADD', P .. 'due:' .. priority, 'NX', unpack(flows))
  end
  if added > 0 then
    call('PUBLISH', P .. 'wake', '')
  end
end

-- A flow has a waiting job: it is due at `at`, unless it is due, parked, held by a worker or in a ring already. What its
-- app server asked for is waited for.
local function make_due(flow, at)
  local priority, parked, ring, hold_until = unpack(
    call('HMGET', flow_key(flow), 'priority', 'parked', 'ring', 'hold_until'))
  if not parked and not ring then
    make_all_due({ [priority or '0'] = { int(math.max(at, hold_until or 0, lease_of(flow) or 0)), flow } })
  end
end

-- Back to its place in its flow, which is that of its number, to wait there for its next attempt.
local function return_to_place(id, job)
  call('ZADD', fifo_key(job.flow), job.seq, fifo_member(id, job.costs))
  call('ZADD', P .. 'expiry', 'LT', int(job.deadline), job.flow)
end

local function return_to_flow(id, job, now)
  return_to_place(id, job)
  make_due(job.flow, now)
end

-- A job is out of `retry`, where its flow has counted it.
local function end_backoff(id, flow)
  if call('ZREM', P .. 'retry', id) == 1 then
    call('HINCRBY', flow_key(flow), 'backing_off', -1)
  end
end

local RETURNED_AT_ONCE = 50

-- Jobs that backed off for long enough return to their flows. Returns whether there may be more.
local function return_retries(now)
  local ids = call('ZRANGEBYSCORE', P .. 'retry', '-inf', int(now), 'LIMIT', 0, RETURNED_AT_ONCE)
  for _, id in ipairs(ids) do
    local job = read_job(id)
    if job and job.status == 'retrying' then
      end_backoff(id, job.flow)
      return_to_flow(id, job, now)
    else
      call('ZREM', P .. 'retry', id)
    end
  end
  return #ids == RETURNED_AT_ONCE
end

-- How long it is until a unit that stands in `due` may go on. While a worker holds it, its time there is the end of the flow
-- lease, and it goes on now unless a lease said when.
local function wait_of(unit, due, now)
  local at = tonumber(due)
  if at > now then
    local until_us, next_us = lease_of(unit)
    at = until_us == at and (next_us or now) or at
  end
  return math.max(0, at - now)
end

-- When a flow's first waiting job may be sent, nil where that is not known; and how long each job takes after it: as the limit
-- says for which the flow waited last, and in a ring as long as a turn of all others. Nil where only the flow's own rule says
-- it. Both in microseconds.
--
-- priority, ring, interval: these fields of its hash
local function pace_of(flow, priority, ring, interval, now)
  if not ring then
    local due = call('ZSCORE', P .. 'due:' .. (priority or '0'), flow)
    return due and wait_of(flow, due, now), tonumber(interval or nil)
  end
  local unit = '~' .. ring
  local ring_interval, ring_priority = unpack(call('HMGET', flow_key(unit), 'interval', 'priority'))
  interval = tonumber(ring_interval or 0)
  local due = call('ZSCORE', P .. 'due:' .. (ring_priority or '0'), unit)
  local first_wait = due and wait_of(unit, due, now) or 0
  local rank = call('ZRANK', ring_key(ring), flow) or 0
  return first_wait + rank * interval, interval * call('ZCARD', ring_key(ring))
end
