-- Store a job durably and put it at the end of its flow.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 job id            2 flow                3 owner ('-' for nobody)    4 charges
--       5 request           6 max_wait_ms         7 max_attempts              8 result_ttl_ms
--       9 dead_letter_ttl_ms                     10 max_depth                11 interval_us between jobs at the drain rate
--      12 due_in_us        13 rule id            14 priority                 15 revision
--      16 rule_json        17 idem: "<owner>:<key>" or ''                    18 fingerprint of the request
--      19 most jobs        20 most request bytes, of all that are not final; 0 for any number
--      21 most of `maxmemory` that may be in use, a fraction
--      22 1: the request comes by way of Kafka. Only the record is written; the job awaits its message
-- RETURN {'queued', position, 1 if the flow was empty, eta_us, submitted_ms}
--        {'known', id, 1 if it awaits its message} or {'conflict', id}: the idempotency key stands for that job
--        {'full', 'depth' or 'wait', retry_us} where the flow, {'full', 'memory', 0} where the queue takes no more

local id, flow, owner = ARGV[1], ARGV[2], ARGV[3]
local max_wait_ms, max_depth, interval = tonumber(ARGV[6]), tonumber(ARGV[10]), tonumber(ARGV[11])
local idem = ARGV[17]

if idem ~= '' then
  local known = redis.call('GET', P .. 'idem:' .. idem)
  if known then
    local known_id, fingerprint = string.match(known, '^(%S+) (%S+)$')
    local awaits = redis.call('HGET', job_key(known_id), 'at') == '-' and 1 or 0
    return { fingerprint == ARGV[18] and 'known' or 'conflict', known_id, awaits }
  end
end

-- Settling needs memory too: a Redis that is full to the brim could not even finish what it holds.
local function no_room(bytes)
  local jobs_now, bytes_now = unpack(redis.call('HMGET', P .. 'totals', 'jobs', 'bytes'))
  local most_jobs, most_bytes = tonumber(ARGV[19]), tonumber(ARGV[20])
  if most_jobs > 0 and tonumber(jobs_now or 0) >= most_jobs then
    return true
  end
  if most_bytes > 0 and tonumber(bytes_now or 0) + bytes > most_bytes then
    return true
  end
  local used, limit = memory()
  return limit > 0 and used + bytes > limit * ARGV[21]
end

local now = now_us()
local depth = waiting(flow)
local due = redis.call('ZSCORE', due_key(flow), flow)
local first_wait = due and math.max(0, due - now) or tonumber(ARGV[12])
local eta = first_wait + depth * interval
if depth >= max_depth then
  return { 'full', 'depth', int(math.max(first_wait, interval)) }
end
if eta > max_wait_ms * 1000 then
  return { 'full', 'wait', int(eta - max_wait_ms * 1000) }
end

if no_room(#ARGV[5]) then
  return { 'full', 'memory', '0' }
end

local by_kafka = ARGV[22] == '1'
local stream_id = by_kafka and '-' or redis.call('XADD', P .. 'jobs', '*', 'id', id)
local entry = id .. ' ' .. stream_id .. ' ' .. ARGV[4]
local now_ms = int(now / 1000)
local deadline = int(now / 1000 + max_wait_ms)
local meta = write_meta(flow, owner, now_ms, deadline, ARGV[7], ARGV[8], ARGV[9], entry)
if by_kafka then
  redis.call('HSET', job_key(id), 'meta', meta, 'status', 'queued', 'at', '-')
  redis.call('ZADD', awaiting_key(flow), int(now), id)
  redis.call('ZADD', P .. 'unread', 'LT', int(now), flow)
else
  redis.call('HSET', job_key(id), 'meta', meta, 'status', 'queued', 'request', ARGV[5])
  redis.call('RPUSH', list_key(flow), entry)
end
if idem ~= '' then
  redis.call('HSET', job_key(id), 'idem', idem)
  redis.call('SET', P .. 'idem:' .. idem, id .. ' ' .. ARGV[18])
end
if owner ~= '-' then
  redis.call('ZADD', P .. 'owner:' .. owner, int(now), id)
  keep_owned(owner, max_wait_ms + math.max(ARGV[8], ARGV[9]))
end

local is_behind = enter_flow(flow, ARGV[14], ARGV[15], ARGV[16], ARGV[11])
open_job(id, flow)
watch_expiry(flow, deadline)
if not by_kafka then
  make_due(flow, now + (is_behind and 0 or tonumber(ARGV[12])), true)
end
return { 'queued', depth + 1, depth == 0 and 1 or 0, int(eta), now_ms }
