-- Leases the next jobs of flows that the caller took, each flow by itself or several of one ring, for which it keeps them
-- until their last slot has passed. Counts an attempt of each job.
--
-- A flow of a ring of which jobs were leased has had as many turns. One that waits for another counter than the ring's
-- leaves it.
--
-- USES  _flows _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 lease, unique to this call   2 consumer   3 look: how many jobs of a flow to look at
--       4 turns: how many flows of a ring to name
--       then for each unit five: name, token, keep_us, next_us until it may go on after these jobs, how many flows; for
--       each of these flows seven: name, n, the costs that slots were acquired for, wait_us (-1: its wait is the ring's), the
--       counter that it waits for (or ''), interval_us of that counter, the revision of its rule that the caller knows (or '')
-- RETURN now_us, then for each unit 'lost', or 1 if a flow must take turns from now on, else 0; how many jobs, for each
--        five: id, its flow, attempt, max_attempts, request; how many flows, of a ring its next ones, for each four: name,
--        depth, same_cost, costs (describe in _flows.lua)
-- COST  O(log n) a job, 128 jobs of 128 units a call at most; ends at most 63 jobs whose time is over

local lease, consumer, look, turns = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local UNIT_FIELDS, FLOW_FIELDS = 5, 7
-- How many jobs are read at once; and from how many ended ones on no more are, since an end costs more than a lease.
local READ_AT_ONCE, EXPIRED_AT_ONCE = 32, 32
local FEW = 4 -- ZPOPMIN is one command where the others are two, but it tells each job's score

local now = now_us()
local now_ms = int(now / 1000)
local has_rings = call('EXISTS', P .. 'rings') == 1
local worker = sub(consumer, 1, WORKER_BYTES)
local first_attempt = first_state(lease, now_ms, worker)
local states, streams, ending = {}, {}, new_ending(now)

-- The next n members of a FIFO, which leave it.
local function pop(fifo, n)
  if n > FEW then
    local members = call('ZRANGE', fifo, 0, n - 1)
    if #members > 0 then
      call('ZREMRANGEBYRANK', fifo, 0, #members - 1)
    end
    return members
  end
  local members, found = {}, call('ZPOPMIN', fifo, n)
  for i = 1, #found, 2 do
    push(members, found[i])
  end
  return members
end

-- The next n jobs of these costs, of a flow whose jobs don't all cost the same.
local function pop_mixed(fifo, n, costs)
  local ids = {}
  for i, member in ipairs(call('ZRANGE', fifo, 0, n - 1)) do
    local id, of_member = parse_member(member)
    if of_member ~= costs then
      break
    end
    ids[i] = id
  end
  if #ids > 0 then
    call('ZREMRANGEBYRANK', fifo, 0, #ids - 1)
  end
  return ids
end

-- The next jobs that a flow is wanted to give, at most n; what it has no jobs for is wanted no more.
local function pop_jobs(want, n)
  n = math.min(n, want.n)
  local ids = {}
  if n > 0 and want.mixed then
    ids = pop_mixed(fifo_key(want.name), n, want.costs)
  elseif n > 0 and want.costs == '-' then
    ids = pop(fifo_key(want.name), n)
  end
  want.n = #ids == n and want.n - n or 0
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

local function still_wanted(wants)
  local still = {}
  for _, want in ipairs(wants) do
    if want.n > 0 then
      still[#still + 1] = want
    end
  end
  return still
end

-- Leases jobs of many flows. Those whose time is over end, and the ones after them take their places.
--
-- wants: {name: of the flow, n, costs, jobs: where they are put as the reply has them, last: the last of these; mixed,
-- returned: these fields of its hash}
local function lease_jobs(wants)
  while #wants > 0 and #ending.ids < EXPIRED_AT_ONCE do
    local ids, keys, of, returned = {}, {}, {}, {}
    for _, want in ipairs(wants) do
      for _, id in ipairs(pop_jobs(want, READ_AT_ONCE - #ids)) do
        local n = #ids + 1
        ids[n], keys[n], of[n] = id, job_key(id), want
        if want.returned then
          push(returned, id)
        end
      end
    end
    if #ids == 0 then
      return
    end
    local state_of = {}
    for i, state in ipairs(#returned > 0 and call('HMGET', P .. 'state', unpack(returned)) or {}) do
      state_of[returned[i]] = state
    end
    for i, text in ipairs(call('MGET', unpack(keys))) do
      local id, want = ids[i], of[i]
      local state = state_of[id]
      local is_leased = state and lease_again(id, text, state, want) or not state and lease_first(id, text, want)
      if not is_leased then
        want.n = want.n + 1
      end
    end
    wants = still_wanted(wants)
  end
end

-- An empty flow is due no more; what comes meanwhile waits until the last slot has passed all the same.
local due, due_no_more = {}, {}
local function keep(unit, is_empty)
  local until_us, next_us = int(now + tonumber(unit.keep_us)), int(now + tonumber(unit.next_us))
  if unit.last then
    call('HSET', flow_key(unit.name), 'held', until_us, 'next', next_us, 'unsent', unit.token .. ' ' .. unit.last)
  else
    call('HSET', flow_key(unit.name), 'held', until_us, 'next', next_us)
  end
  if is_empty then
    push(list_of(due_no_more, unit.priority), unit.name)
  else
    push(list_of(due, unit.priority), until_us, unit.name)
  end
end

-- A unit as in ARGV, with the fields that its hash has; a flow is what lease_jobs wants.
local function read_unit(at)
  local name, token, keep_us, next_us, count, _, n, costs = unpack(ARGV, at, at + UNIT_FIELDS + 2)
  local fields = call('HMGET', flow_key(name), 'token', 'priority', 'mixed', 'kafka', 'returned')
  return {
    name = name, token = token, keep_us = keep_us, next_us = next_us, count = tonumber(count), first = at + UNIT_FIELDS,
    is_lost = fields[1] ~= token, is_ring = sub(name, 1, 1) == '~', n = tonumber(n), costs = costs,
    priority = fields[2] or '0', mixed = fields[3], kafka = fields[4], returned = fields[5], jobs = {}, last = nil,
  }
end

-- The turns of a ring's flows, but for those that have left it meanwhile.
local function read_turns(unit, wants)
  local counter, taken = sub(unit.name, 2), {}
  for i = 0, unit.count - 1 do
    local at = unit.first + i * FLOW_FIELDS
    local flow, n, costs, wait_us, waits_for, interval, revision = unpack(ARGV, at, at + FLOW_FIELDS - 1)
    if call('ZSCORE', ring_key(counter), flow) then
      local slots, want = tonumber(n), nil
      if slots > 0 then
        local mixed, returned = unpack(call('HMGET', flow_key(flow), 'mixed', 'returned'))
        want = { name = flow, n = slots, costs = costs, jobs = unit.jobs, mixed = mixed, returned = returned, last = nil }
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
local function push_unit(unit, must_take_turns, flows)
  push(reply, must_take_turns, #unit.jobs / 5)
  for _, field in ipairs(unit.jobs) do
    reply[#reply + 1] = field
  end
  reply[#reply + 1] = #flows / 4
  for _, field in ipairs(flows) do
    reply[#reply + 1] = field
  end
end

local function keep_flow(unit)
  local depth, same_cost, costs = describe(unit.name, unit.mixed, unit.kafka, look)
  keep(unit, same_cost == 0)
  push_unit(unit, has_rings and contended_counter(unit.name) and 1 or 0, { unit.name, depth, same_cost, costs })
end

local function keep_ring(unit)
  local counter = sub(unit.name, 2)
  for _, turn in ipairs(unit.turns) do
    if turn.want and turn.want.last then
      call('HSET', flow_key(turn.flow), 'unsent', unit.token .. ' ' .. turn.want.last)
    end
    if call('EXISTS', fifo_key(turn.flow)) == 0 then
      leave_ring(turn.flow, counter)
    elseif turn.wait_us >= 0 and turn.waits_for ~= counter then
      leave_ring(turn.flow, counter)
      local rescheduled = call('HDEL', flow_key(turn.flow), 'rescheduled') == 1
      local at = believable_due(turn.waits_for, now + turn.wait_us, now, turn.revision, rescheduled)
      wait_for(turn.flow, turn.waits_for, at, turn.interval)
    end
  end
  local flows = {}
  for _, flow in ipairs(call('ZRANGE', ring_key(counter), 0, turns - 1)) do
    local depth, same_cost, costs = look_at(flow, look, unit.token)
    if depth then
      push_flow(flows, flow, depth, same_cost, costs)
    else
      stand_aside(flow, counter, now)
    end
  end
  if #flows > 0 then
    unit.priority = call('HGET', flow_key(unit.name), 'priority') -- those that left it may have had the highest
    keep(unit, false)
  end
  push_unit(unit, 0, flows)
end

local units, wants, at = {}, {}, 5
while at <= #ARGV do
  local unit = read_unit(at)
  if not unit.is_lost and unit.is_ring then
    unit.turns = read_turns(unit, wants)
  elseif not unit.is_lost then
    push(wants, unit)
  end
  push(units, unit)
  at = at + UNIT_FIELDS + unit.count * FLOW_FIELDS
end
lease_jobs(wants)
for _, unit in ipairs(units) do
  if unit.is_lost then
    push(reply, 'lost')
  elseif unit.is_ring then
    keep_ring(unit)
  else
    keep_flow(unit)
  end
end
update_due(due, due_no_more)
if #states > 0 then
  call('HSET', P .. 'state', unpack(states))
  local words = { P .. 'jobs', 'workers', consumer, 0, unpack(streams) }
  push(words, 'FORCE', 'JUSTID')
  call('XCLAIM', unpack(words))
end
write_ends(ending)
return reply
