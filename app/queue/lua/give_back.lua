-- Gives back flows and rings that the caller took, to be due again after a time. All jobs of a flow that it leased were
-- sent or have returned.
--
-- USES  _rings
-- KEYS  1 the partition's prefix
-- ARGV  for each unit six: name, token, wait_us, the counter that the flow waits for (or ''), interval_us of that counter,
--       the revision of its rule that the caller knows (or '')
-- RETURN for each unit 1, or 0 where another worker took it
-- COST  O(log n) a unit, 128 units a call at most

local UNIT_FIELDS = 6

local now = now_us()
local has_rescheduled = call('EXISTS', P .. 'rescheduled') == 1
local reply, due, due_no_more = {}, {}, {}

local held_keys = {}
for at = 1, #ARGV, UNIT_FIELDS do
  held_keys[#held_keys + 1] = held_key(ARGV[at])
end

-- Forgets the leases of those units that the caller still has, and what it had in hand. Returns their priorities by their
-- places, and the keys of the flows' jobs.
local function end_leases()
  local priorities, fifos, over = {}, {}, {}
  for i, text in ipairs(call('MGET', unpack(held_keys))) do
    local unit, token = unpack(ARGV, (i - 1) * UNIT_FIELDS + 1, (i - 1) * UNIT_FIELDS + 2)
    local priority = held_priority(text, token)
    reply[i], priorities[i] = priority and 1 or 0, priority
    if priority or is_of_token(text, token) then
      over[#over + 1] = held_keys[i]
    end
    if priority and not is_ring(unit) then
      fifos[#fifos + 1] = fifo_key(unit)
    end
  end
  if #over > 0 then
    call('DEL', unpack(over))
  end
  return priorities, fifos
end

local priorities, fifos = end_leases()
-- Mostly all flows of a call have waiting jobs, or none has.
local with_jobs = #fifos > 0 and call('EXISTS', unpack(fifos)) or 0
local function has_jobs(flow)
  return with_jobs == #fifos or with_jobs > 0 and call('EXISTS', fifo_key(flow)) == 1
end

local function give_back_ring(unit, at, interval)
  call('HSET', flow_key(unit), 'interval', interval)
  call('ZADD', due_key(unit), int(at), unit)
end

local function give_back_flow(flow, priority, at, counter, interval)
  if not has_jobs(flow) then
    push(list_of(due_no_more, priority), flow)
    return
  end
  local hold_until = tonumber(call('HGET', flow_key(flow), 'hold_until') or 0)
  if hold_until > at then
    push(list_of(due, priority), int(hold_until), flow)
  elseif not wait_for(flow, counter, at, interval) then
    push(list_of(due, priority), int(at), flow)
  end
end

local function give_back(i, unit, _, wait_us, counter, interval, revision)
  counter = counter ~= '' and counter
  local rescheduled = has_rescheduled and call('SREM', P .. 'rescheduled', unit) == 1
  local goes_on = believable_due(counter, now + tonumber(wait_us), now, revision, rescheduled)
  if is_ring(unit) then
    give_back_ring(unit, goes_on, interval)
  else
    give_back_flow(unit, priorities[i], goes_on, counter, interval)
  end
end

for i, is_ours in ipairs(reply) do
  if is_ours == 1 then
    give_back(i, unpack(ARGV, (i - 1) * UNIT_FIELDS + 1, i * UNIT_FIELDS))
  end
end
update_due(due, due_no_more)
return reply
