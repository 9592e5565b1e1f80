-- Stores jobs durably, each at the end of its flow: all that one process defers in one turn of its event loop. Each is
-- accepted or refused by itself.
--
-- USES  _flows _owners _memory
-- KEYS  1 the partition's prefix
-- ARGV  1 max_jobs   2 max_bytes: of all jobs that are not final and of their requests; 0 for any number
--       3 max_memory: the part of `maxmemory` that may be in use
--       4 1: the requests come by way of Kafka. Only records are written, and the jobs await their messages
--       5 how many rules; then for each rule eleven (app/queue/flow_parameters.py):
--         max_wait_ms, max_attempts, result_ttl_ms, dead_letter_ttl_ms, max_depth, max_flow_bytes, interval_us between
--         jobs at the drain rate, priority, revision, json, pace
--       then for each job nine: which rule (from 1), id, flow, owner ('-' for nobody), costs, request,
--         due_in_us, idem ("<owner>:<key>" or ''), fingerprint of the request
-- RETURN now_us, when the jobs were stored, then for each job one of
--         {'queued', position, 1 if the flow had no waiting job, eta_us}
--         {'known', id, 1 if it awaits its message}, {'conflict', id}: the idempotency key stands for that job
--         {'full', 'depth' or 'bytes' or 'wait', retry_us}: the flow takes no more
--         {'full', 'memory', '0'}: the queue takes no more
-- COST  O(log n) a job, for 64 jobs a call at most; 2 commands a job, 3 to 5 a flow, 2 or 3 an owner

-- Looking at the memory in use costs as much as ten commands, so it is done less often the further away the limit is, but
-- for every large request.
local MEMORY_CHECK_US, MEMORY_CHECK_BYTES, MEMORY_CHECK_PART = 100000, 16384, 0.01
local RECORD_BYTES = 1000
local RULE_FIELDS, JOB_FIELDS = 11, 9

local max_jobs, max_bytes, max_memory = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local by_kafka = ARGV[4] == '1'
local now = now_us()
local now_ms = int(now / 1000)

local rules = {}
for i = 1, tonumber(ARGV[5]) do
  local at = 6 + (i - 1) * RULE_FIELDS
  local max_wait = tonumber(ARGV[at])
  rules[i] = {
    max_wait_ms = max_wait, max_attempts = ARGV[at + 1], result_ttl = ARGV[at + 2], dead_letter_ttl = ARGV[at + 3],
    max_depth = tonumber(ARGV[at + 4]), max_flow_bytes = tonumber(ARGV[at + 5]), interval = ARGV[at + 6],
    interval_us = tonumber(ARGV[at + 6]),
    priority = ARGV[at + 7], revision = ARGV[at + 8], json = ARGV[at + 9], pace = ARGV[at + 10], max_wait = ARGV[at],
    deadline = int(now / 1000 + max_wait), keep_ms = max_wait + math.max(ARGV[at + 2], ARGV[at + 3]),
  }
end

local jobs, bytes, spare, looked = unpack(call('HMGET', P .. 'totals', 'jobs', 'bytes', 'spare', 'looked'))
jobs, bytes, spare = tonumber(jobs or 0), tonumber(bytes or 0), tonumber(spare or 0)

-- Settling needs memory too: a Redis that is full to the brim could not even finish what it holds.
local has_memory = true
local function is_full(size)
  if not has_memory or max_jobs > 0 and jobs >= max_jobs or max_bytes > 0 and bytes + size > max_bytes then
    return true
  end
  spare = spare - size - RECORD_BYTES
  if spare >= 0 and size < MEMORY_CHECK_BYTES and now - looked < MEMORY_CHECK_US then
    return false
  end
  local used, limit = memory()
  local left = limit > 0 and limit * max_memory - used or 1e9
  spare, looked, has_memory = math.max(MEMORY_CHECK_BYTES, left * MEMORY_CHECK_PART), now, left > 0
  return left < size
end

-- What is known of a flow before this call, and what this call adds to it.
local flows = {}
local function flow_of(name)
  local flow = flows[name]
  if flow then
    return flow
  end
  local revision, priority, open, bytes_of_flow, seq, ring, kafka, max_wait, parked, hold_until, held = unpack(
    call('HMGET', flow_key(name), 'revision', 'priority', 'open', 'bytes', 'seq', 'ring', 'kafka', 'max_wait', 'parked',
      'hold_until', 'held'))
  flow = {
    revision = revision, priority = priority, open = tonumber(open or 0), bytes = tonumber(bytes_of_flow or 0),
    seq = tonumber(seq or 0), kafka = kafka, max_wait = max_wait, rests = parked or ring,
    not_before = math.max(hold_until or 0, held or 0), waiting = 0, added = {},
  }
  if revision then
    flow.waiting = kafka and waiting(name) or call('ZCARD', fifo_key(name))
    if flow.waiting > 0 then
      flow.first_wait, flow.interval = pace_of(name, priority, ring, now)
    end
  end
  flows[name] = flow
  return flow
end

local function why_full(flow, rule, size, first_wait, eta)
  local soon = int(math.max(first_wait, rule.interval_us))
  if flow.open >= rule.max_depth then
    return { 'full', 'depth', soon }
  end
  if flow.bytes + size > rule.max_flow_bytes then
    return { 'full', 'bytes', soon }
  end
  if eta > rule.max_wait_ms * 1000 then
    return { 'full', 'wait', int(math.min(eta - rule.max_wait_ms * 1000, 1e15)) }
  end
  if is_full(size) then
    return { 'full', 'memory', '0' }
  end
end

local function known_job(idem, fingerprint)
  local known = call('GET', P .. 'idem:' .. idem)
  if known then
    local id, known_fingerprint = match(known, '^(%S+) (%S+)$')
    if known_fingerprint ~= fingerprint then
      return { 'conflict', id }
    end
    return { 'known', id, call('HGET', P .. 'kafka', id) == '-' and 1 or 0 }
  end
end

-- owned: owner to {time, id, time, id...}, in the order in which the jobs came
local owned, kept_ms = {}, {}
local function add_to_owner(owner, id, keep_ms, number)
  push(list_of(owned, owner), int(now + number), id)
  kept_ms[owner] = math.max(kept_ms[owner] or 0, keep_ms)
end

local function write_job(id, job, rule, request)
  if by_kafka then
    call('HSET', P .. 'kafka', id, '-')
  else
    job.stream_id = call('XADD', P .. 'jobs', '*', 'id', id)
  end
  job.deadline, job.max_attempts = rule.deadline, rule.max_attempts
  job.result_ttl, job.dead_letter_ttl = rule.result_ttl, rule.dead_letter_ttl
  call('SET', job_key(id), write_header(job) .. '\n' .. request)
end

local accepted = 0
local job = { from_kafka = by_kafka, submitted = now_ms } -- the one that is being enqueued
local function enqueue(rule, id, name, owner, costs, request, due_in, idem, fingerprint)
  local known = idem ~= '' and known_job(idem, fingerprint)
  if known then
    return known
  end
  local flow, size = flow_of(name), by_kafka and 0 or #request
  local first_wait = flow.first_wait or tonumber(due_in)
  local eta = first_wait + flow.waiting * (flow.interval or rule.interval_us)
  local full = why_full(flow, rule, size, first_wait, eta)
  if full then
    return full
  end
  flow.rule, flow.due_in = flow.rule or rule, flow.due_in or tonumber(due_in)
  flow.seq, flow.open, flow.bytes = flow.seq + 1, flow.open + 1, flow.bytes + size
  flow.mixed = flow.mixed or costs ~= '-'
  flow.mixed_waits = flow.mixed_waits or flow.max_wait and flow.max_wait ~= rule.max_wait
  flow.max_wait = flow.max_wait or rule.max_wait
  job.flow, job.owner, job.seq, job.bytes, job.costs = name, owner, int(flow.seq), size, costs
  job.idem = idem ~= '' and idem or nil
  write_job(id, job, rule, request)
  if job.idem then
    call('SET', P .. 'idem:' .. idem, id .. ' ' .. fingerprint)
  end
  push(flow.added, job.seq, by_kafka and id or fifo_member(id, costs))
  if owner ~= '-' then
    add_to_owner(owner, id, rule.keep_ms, accepted)
  end
  accepted, jobs, bytes = accepted + 1, jobs + 1, bytes + size
  flow.waiting = flow.waiting + 1
  return { 'queued', flow.waiting, flow.waiting == 1 and 1 or 0, eta }
end

local function is_behind_flows(name, rule)
  if rule.behind == nil then
    rule.behind = is_behind(rule_of(name), rule)
  end
  return rule.behind
end

-- What is written once for all flows of the call. opened: priority to {flow, flow...}; due: priority to {time, flow...}
local opened, expiry, unread, due = {}, {}, {}, {}
local function write_flow(name, flow)
  local rule = flow.rule
  local behind = flow.revision ~= rule.revision and is_behind_flows(name, rule)
  local fields = flow.revision and {} or fields_of_rule(rule, behind)
  push(fields, 'open', int(flow.open))
  push(fields, 'bytes', int(flow.bytes))
  push(fields, 'seq', int(flow.seq))
  if flow.mixed then push(fields, 'mixed', '1') end
  if flow.mixed_waits then push(fields, 'mixed_waits', '1') end
  if by_kafka and not flow.kafka then push(fields, 'kafka', '1') end
  call('HSET', flow_key(name), unpack(fields))
  call('ZADD', by_kafka and awaiting_key(name) or fifo_key(name), unpack(flow.added))
  local priority = flow.priority or rule.priority
  if not flow.revision then
    push(list_of(opened, priority), name)
  end
  push(expiry, rule.deadline, name)
  if by_kafka then
    push(unread, int(now), name)
  elseif not flow.first_wait and not flow.rests then
    push(list_of(due, priority), int(math.max(now + (behind and 0 or flow.due_in), flow.not_before)), name)
  end
end

local function write_flows()
  for name, flow in pairs(flows) do
    if flow.rule then
      write_flow(name, flow)
    end
  end
  for priority, names in pairs(opened) do
    call('ZADD', P .. 'priorities', priority, priority)
    register_flows(names)
  end
  call('ZADD', P .. 'expiry', 'LT', unpack(expiry))
  if by_kafka then
    call('ZADD', P .. 'unread', 'LT', unpack(unread))
  end
  make_all_due(due)
end

local reply = { now }
for at = 6 + #rules * RULE_FIELDS, #ARGV, JOB_FIELDS do
  reply[#reply + 1] = enqueue(rules[tonumber(ARGV[at])], unpack(ARGV, at + 1, at + JOB_FIELDS - 1))
end
if accepted > 0 then
  write_flows()
  for owner, list in pairs(owned) do
    call('ZADD', P .. 'owner:' .. owner, unpack(list))
    keep_owned(owner, kept_ms[owner])
  end
  call('HSET', P .. 'totals', 'jobs', int(jobs), 'bytes', int(bytes), 'spare', int(spare), 'looked', int(tonumber(looked)))
end
return reply
