-- Leases the next jobs of flows that the caller took, each flow by itself or several of one ring, for which it keeps them
-- until their last slot has passed. Counts an attempt of each job.
--
-- A flow of a ring of which jobs were leased has had as many turns. One that waits for another counter than the ring's
-- leaves it.
--
-- USES  _rings _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 lease, unique to this call   2 consumer   3 look: how many jobs of a flow to look at
--       4 turns: how many flows of a ring to name
--       then for each unit five: name, token, keep_us, next_us until it may go on after these jobs, how many flows of a ring
--       take a turn. For a flow by itself two follow: n, the costs that slots were acquired for; for each flow of a ring
--       seven: name, n, costs, wait_us (-1: its wait is the ring's), the counter that it waits for (or ''), interval_us of
--       that counter, the revision of its rule that the caller knows (or '')
-- RETURN now_us, then for each unit 'lost', or 1 if a flow must take turns from now on, else 0; how many jobs, for each
--        five: id, its flow, attempt, max_attempts, request; how many flows, of a ring its next ones, for each four: name,
--        depth, same_cost, costs (describe in _flows.lua)
-- COST  O(log n) a job, 128 jobs of 128 units a call at most; ends at most 63 jobs whose time is over

local lease, consumer, look, turns = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local UNIT_FIELDS, OWN_FIELDS, FLOW_FIELDS = 5, 2, 7
-- How many jobs are read at once; and from how many ended ones on no more are, since an end costs more than a lease.
local READ_AT_ONCE, EXPIRED_AT_ONCE = 32, 32

local now = now_us()
local now_ms = int(now / 1000)
local has_rings, has_kafka = call('EXISTS', P .. 'rings') == 1, call('EXISTS', P .. 'kafka') == 1
local worker = sub(consumer, 1, WORKER_BYTES)
local first_attempt = first_state(lease, now_ms, worker)
local states, streams, emptied, ending = {}, {}, {}, new_ending(now)

-- The ids of the first n members of a FIFO, as far as they are of these costs. Mostly all jobs of a flow cost a unit each, and
-- their members are their ids.
local function ids_of(members, n, costs)
  if costs == '-' and not find(concat(members), ' ', 1, true) then
    members[n + 1] = nil
    return members
  end
  local ids = {}
  for i = 1, math.min(n, #members) do
    local id, of_member = parse_member(members[i])
    if of_member ~= costs then
      break
    end
    ids[i] = id
  end
  return ids
end

-- The next jobs that a flow is wanted to give, at most n, which leave its FIFO; what it has no jobs for is wanted no more.
-- The FIFO of an empty flow still has its jobs until all have been leased, when it goes with those of other flows; it is not
-- read again.
local function pop_jobs(want, n)
  n = math.min(n, want.n)
  local fifo = fifo_key(want.name)
  local members = call('ZRANGE', fifo, 0, int(n))
  local waiting = #members
  local ids = ids_of(members, n, want.costs)
  if #ids == waiting then
    want.is_empty = true
    emptied[#emptied + 1] = fifo
  elseif #ids > 0 then
    call('ZREMRANGEBYRANK', fifo, 0, int(#ids - 1))
  end
  want.n = #ids == n and not want.is_empty and want.n - n or 0
  return ids
end

local function push_job(want, id, attempt, max_attempts, request)
  local jobs = want.jobs
  local n = #jobs
  want.last = id
  jobs[n + 1], jobs[n + 2], jobs[n + 3], jobs[n + 4], jobs[n + 5] = id, want.name, attempt, max_attempts, request
end

-- Returns whether its time is not over.
local function lease_again(id, text, state, want)
  local job = parse_state(state)
  if job.deadline * 1000 < now then
    expire_job(ending, id, job)
    return false
  end
  job.status, job.lease, job.attempts, job.retry_at = 'running', lease, job.attempts + 1, '-'
  job.started, job.worker, job.leased = job.started ~= '-' and job.started or now_ms, worker, now_ms
  push(states, id, write_state(job))
  push(streams, job.stream_id)
  push_job(want, id, job.attempts, job.max_attempts, after_line(text))
  return true
end

local function lease_first(id, text, want)
  local deadline, max_attempts, stream_id = peek_header(text)
  if deadline * 1000 < now then
    expire_job(ending, id, parse_header(text))
    return false
  end
  local line_end, n = find(text, '\n', 1, true), #streams + 1
  streams[n], states[2 * n - 1], states[2 * n] = stream_id, id, first_attempt .. sub(text, 1, line_end - 1)
  push_job(want, id, 1, max_attempts, sub(text, line_end + 1))
  return true
end

-- Takes as many ids as are read at once from their flows, those at `first` and behind it. Returns the ids, the want of each,
-- and the last flow that was looked at.
local function pop_some(wants, first)
  local ids, of, at = {}, {}, first - 1
  while at < #wants and #ids < READ_AT_ONCE do
    at = at + 1
    local want = wants[at]
    if want.n > 0 then
      for _, id in ipairs(pop_jobs(want, READ_AT_ONCE - #ids)) do
        local n = #ids + 1
        ids[n], of[n] = id, want
      end
    end
  end
  return ids, of, at
end

local function lease_job(id, text, state, want)
  local is_leased
  if state then
    is_leased = lease_again(id, text, state, want)
  else
    is_leased = lease_first(id, text, want)
  end
  if not is_leased and not want.is_empty then
    want.n = want.n + 1
  end
end

-- Those that were leased before and have returned have a state.
local function lease_some(ids, of)
  local keys, state_of = {}, call('HMGET', P .. 'state', unpack(ids))
  for i, id in ipairs(ids) do
    keys[i] = job_key(id)
  end
  for i, text in ipairs(call('MGET', unpack(keys))) do
    lease_job(ids[i], text, state_of[i], of[i])
  end
end

-- Leases jobs of many flows. Those whose time is over end, and the ones after them take their places.
--
-- wants: {name: of the flow, n, costs, jobs: where they are put as the reply has them, last: the last of these, is_empty:
-- whether no job waits here any more, as far as that is known}
local function lease_jobs(wants)
  local first = 1
  while first <= #wants and #ending.ids < EXPIRED_AT_ONCE do
    local ids, of, last = pop_some(wants, first)
    if #ids > 0 then
      lease_some(ids, of)
    end
    while first <= last and wants[first].n == 0 do
      first = first + 1
    end
  end
  if #emptied > 0 then
    call('DEL', unpack(emptied))
  end
end

-- An empty flow is due no more; what comes meanwhile waits until the last slot has passed all the same.
local due, due_no_more, texts = {}, {}, {}
local function keep(unit, is_empty)
  local until_us = int(now + unit.keep_us)
  local last = unit.last or unsent_of(unit.lease) or '-'
  push(texts, held_key(unit.name), write_flow_lease(unit.token, unit.priority, until_us, int(now + unit.next_us), last))
  if is_empty then
    push(list_of(due_no_more, unit.priority), unit.name)
  else
    push(list_of(due, unit.priority), until_us, unit.name)
  end
end

-- A unit as in ARGV; false where its token does not hold any more. A flow is what lease_jobs wants. Tables with room for
-- more than 16 fields take Lua twice as long.
local function read_unit(at, text)
  local name, token, keep_us, next_us, _, n, costs = unpack(ARGV, at, at + UNIT_FIELDS + OWN_FIELDS - 1)
  local priority = held_priority(text, token)
  return priority and {
    name = name, token = token, keep_us = keep_us, next_us = next_us, n = tonumber(n), costs = costs,
    priority = priority, lease = text, jobs = { nil, nil, nil, nil, nil }, last = nil, is_empty = nil,
    turns = nil,
  }
end

-- The turns of a ring's flows, but for those that have left it meanwhile. first, count: where in ARGV the flows are
local function read_turns(unit, wants, first, count)
  local counter, taken = sub(unit.name, 2), {}
  for i = 0, count - 1 do
    local at = first + i * FLOW_FIELDS
    local flow, n, costs, wait_us, waits_for, interval, revision = unpack(ARGV, at, at + FLOW_FIELDS - 1)
    if call('ZSCORE', ring_key(counter), flow) then
      local slots, want = tonumber(n), nil
      if slots > 0 then
        want = { name = flow, n = slots, costs = costs, jobs = unit.jobs, last = nil, is_empty = nil }
        push(wants, want)
        count_turns(flow, counter, slots)
      end
      push(taken, {
        flow = flow, want = want, wait_us = tonumber(wait_us), waits_for = waits_for, interval = interval, revision = revision,
      })
    end
  end
  return taken
end

local reply = { now }
local function push_jobs(unit, must_take_turns)
  local jobs, n = unit.jobs, #reply
  reply[n + 1], reply[n + 2] = must_take_turns, #jobs / 5
  for i = 1, #jobs do
    reply[n + 2 + i] = jobs[i]
  end
end

local function keep_flow(unit)
  local depth, same_cost, costs = 0, 0, '-'
  if not unit.is_empty or has_kafka then
    depth, same_cost, costs = look_at(unit.name, look)
  end
  keep(unit, same_cost == 0)
  push_jobs(unit, has_rings and contended_counter(unit.name) and 1 or 0)
  reply[#reply + 1] = 1
  push_flow(reply, unit.name, depth, same_cost, costs)
end

local function keep_ring(unit)
  local counter = sub(unit.name, 2)
  for _, turn in ipairs(unit.turns) do
    if turn.want and turn.want.last then
      call('SET', held_key(turn.flow), write_in_hand(unit.token, turn.want.last))
    end
    if call('EXISTS', fifo_key(turn.flow)) == 0 then
      leave_ring(turn.flow, counter)
    elseif turn.wait_us >= 0 and turn.waits_for ~= counter then
      leave_ring(turn.flow, counter)
      local rescheduled = call('SREM', P .. 'rescheduled', turn.flow) == 1
      local at = believable_due(turn.waits_for, now + turn.wait_us, now, turn.revision, rescheduled)
      if not wait_for(turn.flow, turn.waits_for, at, turn.interval) then
        call('ZADD', due_key(turn.flow), int(at), turn.flow)
      end
    end
  end
  push_jobs(unit, 0)
  local count_at = #reply + 1
  reply[count_at] = 0
  local next_flows = call('ZRANGE', ring_key(counter), 0, turns - 1)
  local unsent = unsent_by_others(next_flows, unit.token)
  for i, flow in ipairs(next_flows) do
    if unsent[i] then
      stand_aside(flow, counter, now)
    else
      reply[count_at] = reply[count_at] + 1
      push_flow(reply, flow, look_at(flow, look))
    end
  end
  if reply[count_at] > 0 then
    unit.priority = call('HGET', flow_key(unit.name), 'priority') -- those that left it may have had the highest
    keep(unit, false)
  end
end

-- Where in ARGV the units begin, and the keys of their flow leases.
local places, held_keys, at = {}, {}, 5
while at <= #ARGV do
  local n = #places + 1
  places[n], held_keys[n] = at, held_key(ARGV[at])
  at = at + UNIT_FIELDS + (is_ring(ARGV[at]) and ARGV[at + UNIT_FIELDS - 1] * FLOW_FIELDS or OWN_FIELDS)
end
local held = call('MGET', unpack(held_keys))
local units, wants = {}, {}
for i, at in ipairs(places) do
  local unit = read_unit(at, held[i])
  if unit and is_ring(unit.name) then
    unit.turns = read_turns(unit, wants, at + UNIT_FIELDS, tonumber(ARGV[at + UNIT_FIELDS - 1]))
  elseif unit then
    wants[#wants + 1] = unit
  end
  units[i] = unit
end
lease_jobs(wants)
for _, unit in ipairs(units) do
  if not unit then
    push(reply, 'lost')
  elseif unit.turns then
    keep_ring(unit)
  else
    keep_flow(unit)
  end
end
update_due(due, due_no_more)
if #texts > 0 then
  call('MSET', unpack(texts))
end
if #states > 0 then
  call('HSET', P .. 'state', unpack(states))
  local words = { P .. 'jobs', 'workers', consumer, 0, unpack(streams) }
  push(words, 'FORCE', 'JUSTID')
  call('XCLAIM', unpack(words))
end
write_ends(ending)
return reply
