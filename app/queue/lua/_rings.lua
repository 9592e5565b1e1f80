-- Rings: how flows take turns that wait for the same counter, and when a flow goes on that had to wait.
--
-- A ring is due as one: a worker takes it and serves its flows in turns, so that what waits for a shared counter gets its
-- slots round robin, whatever the depths.
--
-- USES _flows

-- The counter of a flow for which others wait in a ring, nil without any.
local function contended_counter(flow)
  local counter, from = nil, 1
  while from do
    counter, from = counter_at(flow, from)
    if call('SISMEMBER', P .. 'rings', counter) == 1 then
      return counter
    end
  end
end

-- A ring has the highest priority of its flows.
local function set_ring_priority(unit, old, priority)
  set_priority(unit, old, priority, old and call('ZSCORE', P .. 'due:' .. old, unit))
end

local function add_priority_to_ring(unit, priority)
  local key = flow_key(unit)
  call('HINCRBY', key, 'at:' .. priority, 1)
  local old = call('HGET', key, 'priority')
  if not old or tonumber(priority) > tonumber(old) then
    set_ring_priority(unit, old, priority)
  end
end

-- There are as many fields to look at as rules have priorities.
local function remove_priority_from_ring(unit, priority)
  local key, field = flow_key(unit), 'at:' .. priority
  if call('HINCRBY', key, field, -1) > 0 then
    return
  end
  call('HDEL', key, field)
  local highest
  for _, name in ipairs(call('HKEYS', key)) do
    local other = tonumber(match(name, '^at:(.+)$') or nil)
    if other and other > (highest or -math.huge) then
      highest = other
    end
  end
  local old = call('HGET', key, 'priority')
  if highest and highest < tonumber(old) then
    set_ring_priority(unit, old, int(highest))
  end
end

local function leave_ring(flow, counter)
  local ring, unit, key = ring_key(counter), '~' .. counter, flow_key(flow)
  call('ZREM', ring, flow)
  call('HDEL', key, 'ring')
  if call('EXISTS', ring) == 0 then
    call('ZREM', due_key(unit), unit)
    call('DEL', flow_key(unit), held_key(unit))
    call('SREM', P .. 'rescheduled', unit)
    call('SREM', P .. 'rings', counter)
  else
    remove_priority_from_ring(unit, call('HGET', key, 'priority') or '0')
  end
end

local TURN = 1048576 -- what a turn adds to a flow's score in its ring

-- Its flows have been given so many turns; fewer than none for slots that were missed.
local function count_turns(flow, counter, turns)
  call('ZINCRBY', ring_key(counter), int(TURN * turns), flow)
end

-- A flow joins behind all others of the ring: whoever comes and goes gets no more turns than those who stay.
--
-- due: when the ring may be worth a look, nil where it is there already
local function join_ring(flow, counter, due, interval)
  local unit, ring = '~' .. counter, ring_key(counter)
  local priority = call('HGET', flow_key(flow), 'priority') or '0'
  call('ZREM', P .. 'due:' .. priority, flow)
  call('HSET', flow_key(flow), 'ring', counter)
  local last = call('ZRANGE', ring, -1, -1, 'WITHSCORES')[2]
  call('ZADD', ring, int((last or 0) + 1), flow)
  call('SADD', P .. 'rings', counter)
  add_priority_to_ring(unit, priority)
  if interval then
    call('HSET', flow_key(unit), 'interval', interval)
  end
  if due and not lease_of(unit) then
    call('ZADD', due_key(unit), 'LT', int(due), unit)
  end
end

-- Another worker may have jobs of the flow in hand: it is looked at again, and holds up nobody in its ring.
local function stand_aside(flow, counter, now)
  leave_ring(flow, counter)
  call('ZADD', due_key(flow), int(now + LOOK_AGAIN_US), flow)
end

-- A flow has nothing more to wait for: out of `due` and of its ring.
local function rest(flow)
  local ring = call('HGET', flow_key(flow), 'ring')
  if ring then
    leave_ring(flow, ring)
  else
    call('ZREM', due_key(flow), flow)
  end
end

local SOON_US = 1000000

-- When a unit is worth a look that says to wait until `due` for a counter. A rule that changed while a worker held the unit,
-- or that the worker knows in an earlier revision than the flows do, says something else: it is looked at again.
--
-- revision: of the counter's rule as the worker knows it, '' where that does not matter; rescheduled: whether it changed
local function believable_due(counter, due, now, revision, rescheduled)
  if rescheduled then
    return now
  end
  if revision ~= '' and counter and due > now + SOON_US then
    local known = call('HGET', rule_key(rule_of(counter)), 'revision')
    if known and tonumber(revision) < tonumber(known) then
      return now + LOOK_AGAIN_US
    end
  end
  return due
end

-- A flow waits until `due`, for the counter that is named; in its ring where other flows are charged for it. Returns whether
-- it is in a ring; it is not in `due` yet otherwise.
local function wait_for(flow, counter, due, interval)
  if counter then
    call('HSET', flow_key(flow), 'waits_for', rule_of(counter), 'interval', interval)
  end
  if counter and tonumber(call('HGET', P .. 'counters', counter) or 0) > 1 then
    join_ring(flow, counter, due, interval)
    return true
  end
end
