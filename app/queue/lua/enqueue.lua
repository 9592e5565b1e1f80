-- Store a job durably and put it at the end of its flow.
--
-- USES  _flows _owners _memory
-- KEYS  1 the partition's prefix
-- ARGV  1 job id       2 flow   3 owner ('-' for nobody)   4 charges   5 request
--       6 due_in_us    7 idem: "<owner>:<key>" or ''       8 fingerprint of the request
--       9 most jobs   10 most request bytes, of all that are not final; 0 for any number
--      11 most of `maxmemory` that may be in use, a fraction
--      12 1: the request comes by way of Kafka. Only the record is written; the job awaits its message
--      and of the rule (ActiveRule.flow_parameters):
--      13 max_wait_ms       14 max_attempts  15 result_ttl_ms  16 dead_letter_ttl_ms
--      17 max_depth         18 interval_us between jobs at the drain rate
--      19 priority          20 revision      21 rule_json
-- RETURN {'queued', position, 1 if the flow was empty, eta_us, submitted_ms}
--        {'known', id, 1 if it awaits its message} or {'conflict', id}: the idempotency key stands for that job
--        {'full', 'depth' or 'wait', retry_us} where the flow, {'full', 'memory', 0} where the queue takes no more

local LOOK_EVERY_US, LOOK_EVERY_BYTES = 100000, 16384 -- at the memory in use: that costs as much as ten other commands
local RECORD_BYTES = 1000

local id, flow, owner = ARGV[1], ARGV[2], ARGV[3]
local max_wait_ms, max_depth, interval = tonumber(ARGV[13]), tonumber(ARGV[17]), tonumber(ARGV[18])
local idem = ARGV[7]

if idem ~= '' then
  local known = call('GET', P .. 'idem:' .. idem)
  if known then
    local known_id, fingerprint = string.match(known, '^(%S+) (%S+)$')
    local awaits = call('HGET', job_key(known_id), 'at') == '-' and 1 or 0
    return { fingerprint == ARGV[8] and 'known' or 'conflict', known_id, awaits }
  end
end

local now = now_us()
local first, known_revision, has_kafka = unpack(call('HMGET', flow_key(flow), 'priority', 'revision', 'kafka'))
local depth = has_kafka and waiting(flow) or call('LLEN', list_key(flow))
local due = call('ZSCORE', P .. 'due:' .. (first or '0'), flow)
local first_wait = due and math.max(0, due - now) or tonumber(ARGV[6])
local eta = first_wait + depth * interval
if depth >= max_depth then
  return { 'full', 'depth', int(math.max(first_wait, interval)) }
end
if eta > max_wait_ms * 1000 then
  return { 'full', 'wait', int(math.min(eta - max_wait_ms * 1000, 1e15)) }
end

local size = #ARGV[5]
local jobs, bytes, spare, looked = unpack(call('HMGET', P .. 'totals', 'jobs', 'bytes', 'spare', 'looked'))
jobs, bytes, spare = tonumber(jobs or 0), tonumber(bytes or 0), tonumber(spare or 0) - size - RECORD_BYTES

-- Settling needs memory too: a Redis that is full to the brim could not even finish what it holds.
local function no_room()
  local most_jobs, most_bytes = tonumber(ARGV[9]), tonumber(ARGV[10])
  if most_jobs > 0 and jobs >= most_jobs then
    return true
  end
  if most_bytes > 0 and bytes + size > most_bytes then
    return true
  end
  if spare >= 0 and now - looked < LOOK_EVERY_US then
    return false
  end
  spare, looked = LOOK_EVERY_BYTES, int(now)
  local used, limit = memory()
  return limit > 0 and used + size > limit * ARGV[11]
end

if no_room() then
  return { 'full', 'memory', '0' }
end

local by_kafka = ARGV[12] == '1'
local stream_id = by_kafka and '-' or call('XADD', P .. 'jobs', '*', 'id', id)
local now_ms = int(now / 1000)
local deadline = int(now / 1000 + max_wait_ms)
local meta = write_meta(flow, owner, now_ms, deadline, ARGV[14], ARGV[15], ARGV[16], stream_id, ARGV[4])
if by_kafka then
  call('HSET', job_key(id), 'meta', meta, 'status', 'queued', 'at', '-')
  call('ZADD', awaiting_key(flow), int(now), id)
  call('ZADD', P .. 'unread', 'LT', int(now), flow)
else
  call('HSET', job_key(id), 'meta', meta, 'status', 'queued', 'request', ARGV[5])
  call('RPUSH', list_key(flow), write_entry(id, stream_id, ARGV[4]))
  bytes = bytes + size
end
if idem ~= '' then
  call('HSET', job_key(id), 'idem', idem)
  call('SET', P .. 'idem:' .. idem, id .. ' ' .. ARGV[8])
end
if owner ~= '-' then
  call('ZADD', P .. 'owner:' .. owner, int(now), id)
  keep_owned(owner, max_wait_ms + math.max(ARGV[15], ARGV[16]))
end

local is_behind = enter_flow(flow, known_revision, ARGV[19], ARGV[20], ARGV[21], ARGV[18])
call('HINCRBY', flow_key(flow), 'open', '1')
if by_kafka and not has_kafka then
  call('HSET', flow_key(flow), 'kafka', '1')
end
call('HSET', P .. 'totals', 'jobs', int(jobs + 1), 'bytes', int(bytes), 'spare', int(spare), 'looked', looked)
watch_expiry(flow, deadline)
if not by_kafka and not due then
  make_due(flow, now + (is_behind and 0 or tonumber(ARGV[6])), true)
end
return { 'queued', depth + 1, depth == 0 and 1 or 0, int(eta), now_ms }
