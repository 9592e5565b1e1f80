-- Lease the next jobs of a flow that the caller took, and say when the flow is due again.
--
-- With n > 0 the caller keeps the flow until `due_in_us`; with n = 0 it gives it back (due then), or parks it.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 flow   2 token   3 n   4 charges that slots were acquired for   5 lease, unique to this call   6 consumer
--       7 due_in_us   8 revision of a rule that is paused: the flow is parked; else ''   9 how far to look for the run
-- RETURN {'lost'} if another worker took the flow, else
--        {'held', depth (with what is on Kafka), run, charges, then for each job: id, attempts, max_attempts, request}

local flow, token, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = flow_key(flow)
if redis.call('HGET', key, 'token') ~= token then
  return { 'lost' }
end

local now = now_us()
local reply = { 'held', 0, 0, '' }
local leased = 0
while leased < n do
  local entry = redis.call('LINDEX', list_key(flow), 0)
  local id, stream_id, charges
  if entry then
    id, stream_id, charges = parse_entry(entry)
  end
  if not entry or charges ~= ARGV[4] then
    break
  end
  redis.call('LPOP', list_key(flow))
  local job = job_key(id)
  local meta = read_meta(id)
  if meta.deadline * 1000 < now then
    expire(id, meta, now)
  else
    leased = leased + 1
    redis.call('XCLAIM', P .. 'jobs', 'workers', ARGV[6], 0, stream_id, 'FORCE', 'JUSTID')
    local attempts = redis.call('HINCRBY', job, 'attempts', 1)
    redis.call('HSET', job, 'status', 'running', 'lease', ARGV[5])
    redis.call('HSETNX', job, 'started', int(now / 1000))
    reply[#reply + 1] = id
    reply[#reply + 1] = attempts
    reply[#reply + 1] = meta.max_attempts
    reply[#reply + 1] = redis.call('HGET', job, 'request')
  end
end

local depth = redis.call('LLEN', list_key(flow))
local run, charges = peek_run(flow, tonumber(ARGV[9]))
reply[2], reply[3], reply[4] = waiting(flow), run, charges

if redis.call('EXISTS', key) == 0 then -- its last jobs had expired: the flow is closed
  return reply
end
if n > 0 then
  local held = int(now + tonumber(ARGV[7]))
  redis.call('HSET', key, 'held', held)
  redis.call('ZADD', due_key(flow), held, flow)
else
  redis.call('HDEL', key, 'token', 'held')
  local due = due_key(flow)
  if depth == 0 then
    redis.call('ZREM', due, flow)
  elseif ARGV[8] == '' then
    redis.call('ZADD', due, int(now + tonumber(ARGV[7])), flow)
  elseif tonumber(ARGV[8]) >= tonumber(redis.call('HGET', key, 'revision')) then
    redis.call('HSET', key, 'parked', ARGV[8])
    redis.call('ZREM', due, flow)
  else -- the caller does not know the rule's latest version yet
    redis.call('ZADD', due, int(now + 100000), flow)
  end
end
return reply
