-- Lease the next jobs of a flow that the caller took, and say when the flow is due again.
--
-- With n > 0 the caller keeps the flow until `due_in_us`; with n = 0 it gives it back (due then), or parks it.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 flow   2 token   3 n   4 charges that slots were acquired for   5 lease, unique to this call   6 consumer
--       7 due_in_us   8 revision of a rule that is paused: the flow is parked; else ''   9 how far to look for the run
-- RETURN {'lost'} if another worker took the flow, else
--        {'held', depth (with what is on Kafka), run, charges, then for each job: id, attempts, max_attempts, request}

local flow, token, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = flow_key(flow)
if call('HGET', key, 'token') ~= token then
  return { 'lost' }
end

local now = now_us()
local now_ms = int(now / 1000)
local list = list_key(flow)
local reply = { 'held', 0, 0, '' }
local ends, streams = {}, {}

local function lease(entry)
  local id, stream_id = parse_entry(entry)
  local job = job_key(id)
  local text, attempts, started, request = unpack(call('HMGET', job, 'meta', 'attempts', 'started', 'request'))
  local deadline, max_attempts = string.match(text, '^%S+ %S+ %S+ (%S+) (%S+)')
  if deadline * 1000 < now then
    ends[#ends + 1] = { id = id, meta = read_meta(id), status = 'failed', fields = EXPIRED }
    return
  end
  attempts = attempts and int(attempts + 1) or '1'
  streams[#streams + 1] = stream_id
  call('HSET', job, 'status', 'running', 'lease', ARGV[5], 'attempts', attempts, 'started', started or now_ms)
  reply[#reply + 1] = id
  reply[#reply + 1] = tonumber(attempts)
  reply[#reply + 1] = tonumber(max_attempts)
  reply[#reply + 1] = request
end

while #streams < n do
  local wanted = n - #streams
  local entries = call('LRANGE', list, 0, wanted - 1)
  local run, charges = same_cost_prefix(entries)
  if run == 0 or charges ~= ARGV[4] then
    break
  end
  call('LTRIM', list, run, -1)
  for i = 1, run do
    lease(entries[i])
  end
  if run < wanted then
    break
  end
end
if #streams > 0 then
  local words = { P .. 'jobs', 'workers', ARGV[6], 0, unpack(streams) }
  words[#words + 1], words[#words + 2] = 'FORCE', 'JUSTID'
  call('XCLAIM', unpack(words))
end
if #ends > 0 then
  finish_all(ends, now)
end

local depth = call('LLEN', list)
local run, charges = peek_same_cost_prefix(flow, tonumber(ARGV[9]))
reply[2], reply[3], reply[4] = waiting(flow), run, charges

if call('EXISTS', key) == 0 then -- its last jobs had expired: the flow is closed
  return reply
end
if n > 0 then
  local held = int(now + tonumber(ARGV[7]))
  call('HSET', key, 'held', held)
  call('ZADD', due_key(flow), held, flow)
else
  call('HDEL', key, 'token', 'held')
  local due = due_key(flow)
  if depth == 0 then
    call('ZREM', due, flow)
  elseif ARGV[8] == '' then
    call('ZADD', due, int(now + tonumber(ARGV[7])), flow)
  elseif tonumber(ARGV[8]) >= tonumber(call('HGET', key, 'revision')) then
    call('HSET', key, 'parked', ARGV[8])
    call('ZREM', due, flow)
  else -- the caller does not know the rule's latest version yet
    call('ZADD', due, int(now + 100000), flow)
  end
end
return reply
