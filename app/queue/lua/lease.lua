-- Leases the next jobs of flows that the caller took, each flow by itself or several of one ring, for which it keeps them
-- until their last slot has passed. Counts an attempt of each job.
--
-- A flow of a ring of which jobs were leased goes behind the others. One that waits for another counter than the ring's
-- leaves it.
--
-- USES  _flows _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 lease, unique to this call   2 consumer   3 look: how many jobs of a flow to look at
--       4 turns: how many flows of a ring to name
--       then for each unit four: name, token, keep_us, how many flows; for each of these flows six: name, n, the costs
--       that slots were acquired for, wait_us (-1: its wait is the ring's), the counter that it waits for (or ''),
--       interval_us of that counter
-- RETURN for each unit {'lost'}, or {'held', 1 if a flow must take turns from now on, now_us, {job...}, {flow...}}
--        job: {id, flow, attempt, max_attempts, request}   flow: {name, depth, same_cost, costs}; of a ring its next ones
-- COST  O(log n) a job, 500 jobs of 128 units a call at most

local lease, consumer, look, turns = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local UNIT_FIELDS, FLOW_FIELDS = 4, 6
local EXPIRED_AT_ONCE = 100

local now = now_us()
local now_ms = int(now / 1000)
local has_rings = call('EXISTS', P .. 'rings') == 1
local states, streams, ends = {}, {}, {}

local function lease_job(id, text, state, jobs)
  local job = state and parse_state(state) or parse_header(text)
  if job.deadline * 1000 < now then
    ends[#ends + 1] = expired(id, job)
    return
  end
  job.status, job.lease, job.attempts, job.retry_at = 'running', lease, job.attempts + 1, '-'
  job.started = job.started ~= '-' and job.started or now_ms
  states[#states + 1] = id
  states[#states + 1] = write_state(job)
  streams[#streams + 1] = job.stream_id
  jobs[#jobs + 1] = { id, job.flow, job.attempts, job.max_attempts, after_line(text) }
end

-- The next n jobs of these costs. Those whose time is over end, and the ones after them take their places.
local function lease_jobs(flow, n, costs, jobs)
  local fifo, first_end = fifo_key(flow), #ends
  local wanted = #jobs + n
  while #jobs < wanted and #ends - first_end < EXPIRED_AT_ONCE do
    local members = call('ZRANGE', fifo, 0, wanted - #jobs - 1)
    local ids, keys = {}, {}
    for i, member in ipairs(members) do
      local id, of_member = parse_member(member)
      if of_member ~= costs then
        break
      end
      ids[i], keys[i] = id, job_key(id)
    end
    if #ids == 0 then
      return
    end
    call('ZREMRANGEBYRANK', fifo, 0, #ids - 1)
    local texts, known = call('MGET', unpack(keys)), call('HMGET', P .. 'state', unpack(ids))
    for i, id in ipairs(ids) do
      lease_job(id, texts[i], known[i], jobs)
    end
    if #ids < #members then
      return
    end
  end
end

-- An empty flow is due no more; what comes meanwhile waits until the last slot has passed all the same.
local function keep(unit, keep_us, is_empty)
  local until_us = int(now + tonumber(keep_us))
  call('HSET', flow_key(unit), 'held', until_us)
  if is_empty then
    call('ZREM', due_key(unit), unit)
  else
    call('ZADD', due_key(unit), until_us, unit)
  end
end

local function of_flow(unit, keep_us, at)
  local jobs = {}
  lease_jobs(unit, tonumber(ARGV[at + 1]), ARGV[at + 2], jobs)
  local described = describe(unit, look)
  keep(unit, keep_us, described[3] == 0)
  return { 'held', has_rings and contended_counter(unit) and 1 or 0, int(now), jobs, { described } }
end

local function of_ring(unit, keep_us, at, count)
  local jobs, counter = {}, sub(unit, 2)
  for i = 0, count - 1 do
    local flow, n, costs, wait_us, waits_for, interval = unpack(ARGV, at + i * FLOW_FIELDS, at + (i + 1) * FLOW_FIELDS - 1)
    local since = tonumber(call('ZSCORE', ring_key(counter), flow) or nil)
    if since then
      if tonumber(n) > 0 then
        lease_jobs(flow, tonumber(n), costs, jobs)
        since = now + i
      end
      if call('EXISTS', fifo_key(flow)) == 0 then
        leave_ring(flow, counter)
      elseif tonumber(wait_us) >= 0 and waits_for ~= counter then
        leave_ring(flow, counter)
        wait_for(flow, waits_for, now + tonumber(wait_us), since, interval)
      else
        call('ZADD', ring_key(counter), int(since), flow)
      end
    end
  end
  local flows = {}
  for i, flow in ipairs(call('ZRANGE', ring_key(counter), 0, turns - 1)) do
    flows[i] = describe(flow, look)
  end
  if #flows > 0 then
    keep(unit, keep_us, false)
  end
  return { 'held', 0, int(now), jobs, flows }
end

local reply, at = {}, 5
while at <= #ARGV do
  local unit, token, keep_us, count = unpack(ARGV, at, at + UNIT_FIELDS - 1)
  at, count = at + UNIT_FIELDS, tonumber(count)
  if call('HGET', flow_key(unit), 'token') ~= token then
    reply[#reply + 1] = { 'lost' }
  elseif sub(unit, 1, 1) == '~' then
    reply[#reply + 1] = of_ring(unit, keep_us, at, count)
  else
    reply[#reply + 1] = of_flow(unit, keep_us, at)
  end
  at = at + count * FLOW_FIELDS
end
if #states > 0 then
  call('HSET', P .. 'state', unpack(states))
  local words = { P .. 'jobs', 'workers', consumer, 0, unpack(streams) }
  words[#words + 1], words[#words + 2] = 'FORCE', 'JUSTID'
  call('XCLAIM', unpack(words))
end
if #ends > 0 then
  finish_all(ends, now)
end
return reply
