-- Stores jobs durably, each at the end of its flow: all that one process defers in one turn of its event loop. Each is
-- accepted or refused by itself.
--
-- USES  _flows _registration _owners _memory
-- KEYS  1 the partition's prefix
-- ARGV  1 max_jobs   2 max_bytes: of all jobs that are not final and of their requests; 0 for any number
--       3 max_memory: the part of `maxmemory` that may be in use
--       4 1: the requests come by way of Kafka. Only records are written, and the jobs await their messages
--       5 how many rules; then for each rule eleven (app/queue/flow_parameters.py):
--         max_wait_ms, max_attempts, result_ttl_ms, dead_letter_ttl_ms, max_depth, max_flow_bytes, interval_us between
--         jobs at the drain rate, priority, revision, json, pace
--       then for each job ten: which rule (from 1), id, flow, owner ('-' for nobody), costs, request,
--         due_in_us, interval_us of the limit that it waits for ('' for the rule's), idem ("<owner>:<key>" or ''),
--         fingerprint of the request
-- RETURN now_us, when the jobs were stored, then three for each job:
--         'queued', position: 1 if the flow had no waiting job, eta_us (-1: not known, the flow is paused)
--         'known', id, 1 if it awaits its message; 'conflict', id, 0: the idempotency key stands for that job
--         'full', 'depth' or 'bytes' or 'wait', retry_us: the flow takes no more
--         'full', 'memory', 0: the queue takes no more
-- COST  O(log n) a job, for 64 jobs a call at most; a command a job, 2 to 6 a flow, 2 or 3 an owner

-- Looking at the memory in use costs as much as ten commands, so it is done less often the further away the limit is, but
-- for every large request.
local MEMORY_CHECK_US, MEMORY_CHECK_BYTES, MEMORY_CHECK_PART = 100000, 16384, 0.01
local RECORD_BYTES = 1000
local RULE_FIELDS, JOB_FIELDS = 11, 10

local max_jobs, max_bytes, max_memory = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local by_kafka = ARGV[4] == '1'
local now = now_us()
local now_ms = int(now / 1000)

local JOBS, JOB, KAFKA = P .. 'jobs', P .. 'job:', P .. 'kafka'

local rule_count = tonumber(ARGV[5])
local rules = {} -- by their numbers, as texts
for i = 1, rule_count do
  local max_wait, max_attempts, result_ttl, dead_letter_ttl, max_depth, max_flow_bytes, interval, priority, revision, json,
    pace = unpack(ARGV, 6 + (i - 1) * RULE_FIELDS, 5 + i * RULE_FIELDS)
  local deadline = int(now / 1000 + max_wait)
  local first, second = shared_header(by_kafka, deadline, max_attempts, result_ttl, dead_letter_ttl, now_ms)
  rules[tostring(i)] = {
    max_wait = max_wait, max_wait_us = max_wait * 1000, max_depth = tonumber(max_depth), max_bytes = tonumber(max_flow_bytes),
    interval = interval, interval_us = tonumber(interval), priority = priority, revision = revision, json = json, pace = pace,
    deadline = deadline, keep_ms = max_wait + math.max(result_ttl, dead_letter_ttl), first = first, second = second,
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

-- What is known of a flow that has jobs. first_wait: when the first that waits may be sent, nil where that is not known;
-- rests: it is not to be made due
local function look_at_pace(name, flow, revision, kafka)
  flow.waiting = kafka and waiting(name) or call('ZCARD', fifo_key(name))
  local priority, ring, interval, parked, hold_until = unpack(
    call('HMGET', flow_key(name), 'priority', 'ring', 'interval', 'parked', 'hold_until'))
  local first_wait
  if flow.waiting > 0 then
    first_wait, flow.interval = pace_of(name, priority, ring, interval, now)
  end
  local rests = parked or ring or first_wait
  return {
    revision = revision, kafka = kafka, priority = priority, first_wait = first_wait, rests = rests, parked = parked,
    not_before = rests and 0 or math.max(hold_until or 0, lease_of(name) or 0),
  }
end

-- Whether there is any of the flows. Mostly there are many jobs of few flows, or each is the only one of its own.
local function knows_any_flow()
  local keys, is_named = {}, {}
  for at = 8 + rule_count * RULE_FIELDS, #ARGV, JOB_FIELDS do
    local name = ARGV[at]
    if not is_named[name] then
      is_named[name], keys[#keys + 1] = true, flow_key(name)
    end
  end
  return call('EXISTS', unpack(keys)) > 0
end
local has_known_flows = knows_any_flow()

-- A flow as it was before this call, to which this call adds. waiting: how many jobs; interval: how long each takes, nil where
-- that is not known; known: nil for a new flow
local flows = {}
local function look_up(name)
  local revision, open, bytes, seq, max_wait, kafka
  if has_known_flows then
    revision, open, bytes, seq, max_wait, kafka = unpack(
      call('HMGET', flow_key(name), 'revision', 'open', 'bytes', 'seq', 'max_wait', 'kafka'))
  end
  local flow = {
    open = tonumber(open or 0), bytes = tonumber(bytes or 0), seq = tonumber(seq or 0), max_wait = max_wait, waiting = 0,
    rule = nil, due_in = nil, added = nil, interval = nil, own_interval = nil, mixed = nil, mixed_waits = nil, known = nil,
  }
  flows[name] = flow
  if revision then
    flow.known = look_at_pace(name, flow, revision, kafka)
  end
  return flow
end

-- Why a flow or the queue takes no more, nil where they do.
local function why_full(flow, rule, size, first_wait, eta)
  local reason = flow.open >= rule.max_depth and 'depth' or flow.bytes + size > rule.max_bytes and 'bytes'
  if reason then
    return 'full', reason, math.max(first_wait, rule.interval_us)
  end
  if eta > rule.max_wait_us then
    return 'full', 'wait', math.min(eta - rule.max_wait_us, 1e15)
  end
  if is_full(size) then
    return 'full', 'memory', 0
  end
end

local function known_job(idem, fingerprint)
  local known = call('GET', P .. 'idem:' .. idem)
  if known then
    local id, known_fingerprint = match(known, '^(%S+) (%S+)$')
    if known_fingerprint ~= fingerprint then
      return 'conflict', id, 0
    end
    return 'known', id, call('HGET', P .. 'kafka', id) == '-' and 1 or 0
  end
end

-- owned: owner to {time, id, time, id...}, in the order in which the jobs came
local owned, kept_ms = {}, {}
local function add_to_owner(owner, id, keep_ms, number)
  local list = owned[owner]
  if not list then
    owned[owner], kept_ms[owner] = { int(now + number), id }, keep_ms
    return
  end
  push(list, int(now + number), id)
  kept_ms[owner] = math.max(kept_ms[owner], keep_ms)
end

-- records: keys and values
local accepted, records = 0, {}
local function enqueue(rule_number, id, name, owner, costs, request, due_in, interval, idem, fingerprint)
  if idem ~= '' then
    local known, known_id, awaits_message = known_job(idem, fingerprint)
    if known then
      return known, known_id, awaits_message
    end
  end
  local rule, flow, size = rules[rule_number], flows[name] or look_up(name), by_kafka and 0 or #request
  local first_wait = flow.known and flow.known.first_wait or tonumber(due_in)
  if interval ~= '' and flow.waiting == 0 then
    flow.interval, flow.own_interval = tonumber(interval), interval
  end
  local eta = first_wait + flow.waiting * (flow.interval or rule.interval_us)
  local full, reason, retry_us = why_full(flow, rule, size, first_wait, eta)
  if full then
    return full, reason, retry_us
  end
  local number = flow.seq + 1
  local seq, stream_id = int(number), '-'
  if by_kafka then
    call('HSET', KAFKA, id, '-')
  else
    stream_id = call('XADD', JOBS, '*', 'id', id)
  end
  push(records, JOB .. id, new_record(rule.first, rule.second, stream_id, seq, int(size), costs, idem == '' and '-' or idem,
    owner, name, request))
  if idem ~= '' then
    call('SET', P .. 'idem:' .. idem, id .. ' ' .. fingerprint)
  end
  local member = by_kafka and id or fifo_member(id, costs)
  if flow.rule then
    push(flow.added, seq, member)
  else
    flow.rule, flow.due_in, flow.added = rule, due_in, { seq, member }
  end
  flow.seq, flow.open, flow.bytes, flow.waiting = number, flow.open + 1, flow.bytes + size, flow.waiting + 1
  if costs ~= '-' then
    flow.mixed = true
  end
  if flow.max_wait ~= rule.max_wait then
    flow.mixed_waits, flow.max_wait = flow.max_wait and true, flow.max_wait or rule.max_wait
  end
  if owner ~= '-' then
    add_to_owner(owner, id, rule.keep_ms, accepted)
  end
  accepted, jobs, bytes = accepted + 1, jobs + 1, bytes + size
  return 'queued', flow.waiting, flow.known and flow.known.parked and -1 or eta
end

local function is_behind_flows(name, rule)
  if rule.behind == nil then
    rule.behind = is_behind(rule_of(name), rule)
  end
  return rule.behind
end

local function write_flow_hash(name, flow, behind)
  local open, bytes, seq = int(flow.open), int(flow.bytes), int(flow.seq)
  local fields = flow.known and { 'open', open, 'bytes', bytes, 'seq', seq }
    or { 'open', open, 'bytes', bytes, 'seq', seq, fields_of_rule(flow.rule, behind) }
  if flow.own_interval then push(fields, 'interval', flow.own_interval) end
  if flow.mixed then push(fields, 'mixed', '1') end
  if flow.mixed_waits then push(fields, 'mixed_waits', '1') end
  if by_kafka then push(fields, 'kafka', '1') end
  call('HSET', flow_key(name), unpack(fields))
end

-- What is written once for all flows of the call. due: priority to {time, flow, time, flow...}
local opened, priorities, expiry, unread, due = {}, {}, {}, {}, {}
local function write_flow(name, flow)
  local rule, known = flow.rule, flow.known
  local behind = (not known or known.revision ~= rule.revision) and is_behind_flows(name, rule)
  write_flow_hash(name, flow, behind)
  call('ZADD', by_kafka and awaiting_key(name) or fifo_key(name), unpack(flow.added))
  if not known then
    opened[#opened + 1], priorities[rule.priority] = name, true
  end
  push(expiry, rule.deadline, name)
  if by_kafka then
    push(unread, int(now), name)
  elseif not known then
    push(list_of(due, rule.priority), int(behind and now or now + flow.due_in), name)
  elseif not known.rests then
    local at = math.max(behind and now or now + flow.due_in, known.not_before)
    push(list_of(due, known.priority or rule.priority), int(at), name)
  end
end

-- A list that is new lasts for as long as its jobs may, and the others no shorter.
local function write_owners()
  local keys = {}
  for owner in pairs(owned) do
    keys[#keys + 1] = P .. 'owner:' .. owner
  end
  local has_lists = #keys > 0 and call('EXISTS', unpack(keys)) > 0
  for owner, list in pairs(owned) do
    call('ZADD', P .. 'owner:' .. owner, unpack(list))
    keep_owned(owner, kept_ms[owner], now, not has_lists)
  end
end

local function write_flows()
  for name, flow in pairs(flows) do
    if flow.rule then
      write_flow(name, flow)
    end
  end
  if #opened > 0 then
    register_flows(opened)
    for priority in pairs(priorities) do
      call('ZADD', P .. 'priorities', priority, priority)
    end
  end
  call('ZADD', P .. 'expiry', 'LT', unpack(expiry))
  if by_kafka then
    call('ZADD', P .. 'unread', 'LT', unpack(unread))
  end
  make_all_due(due)
end

local reply = { now } -- flat: Redis sends each table of a reply by itself
for at = 6 + rule_count * RULE_FIELDS, #ARGV, JOB_FIELDS do
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = enqueue(unpack(ARGV, at, at + JOB_FIELDS - 1))
end
if accepted > 0 then
  call('MSET', unpack(records))
  write_flows()
  write_owners()
  call('HSET', P .. 'totals', 'jobs', int(jobs), 'bytes', int(bytes), 'spare', int(spare), 'looked', int(tonumber(looked)))
end
return reply
