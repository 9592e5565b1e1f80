-- What the transitions share. Each script gets the partition's prefix, `{q0}:`, as KEYS[1] and appends the rest; the
-- prefix is a hash tag, so all of a partition's keys live in one slot.
--
--   jobs               stream: one entry a job, field `id`; its group's pending list holds what is in flight
--   job:<id>           hash: meta, status, request, attempts, lease, started, finished, code, message, answer,
--                      response, retry_at, idem; few fields, and short ones, because there may be millions
--   flow:<flow>        hash: rule, priority, revision, rule_json, interval, open, token, held, parked
--   flow:<flow>:jobs   list: "<id> <stream id> <charges>", the next to be sent first
--   due:<priority>     sorted set: flows by the time at which they are worth a look
--   priorities         sorted set: the priorities in use
--   retry              sorted set: jobs that back off, by the time at which they return to their flow
--   dead               sorted set: dead letters by the time at which they died
--   rule:<id>:flows    set: the flows of a rule
--   owner:<owner>      sorted set: an owner's jobs by submission
--   idem:<owner>:<key> string: "<job id> <fingerprint>"
--
-- All times are microseconds of TIME, but for those in records, which are milliseconds.

local P = KEYS[1]

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function int(number)
  return string.format('%.0f', number)
end

local function flow_key(flow)
  return P .. 'flow:' .. flow
end

local function list_key(flow)
  return P .. 'flow:' .. flow .. ':jobs'
end

local function job_key(id)
  return P .. 'job:' .. id
end

local function due_key(flow)
  return P .. 'due:' .. (redis.call('HGET', flow_key(flow), 'priority') or '0')
end

-- id, stream id, charges
local function parse_entry(entry)
  return string.match(entry, '^(%S+) (%S+) (.*)$')
end

-- What never changes of a job, in one field: "flow owner submitted deadline max_attempts result_ttl dead_letter_ttl
-- entry", times in milliseconds, '-' for no owner. nil for a job that is not there.
local function read_meta(id)
  local text = redis.call('HGET', job_key(id), 'meta')
  if not text then
    return nil
  end
  local flow, owner, submitted, deadline, max_attempts, result_ttl, dead_letter_ttl, entry = string.match(
    text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  local _, stream_id = parse_entry(entry)
  return {
    flow = flow, owner = owner, submitted = submitted, deadline = tonumber(deadline),
    max_attempts = tonumber(max_attempts), result_ttl = result_ttl, dead_letter_ttl = dead_letter_ttl,
    entry = entry, stream_id = stream_id,
  }
end

-- How many jobs at the head cost the same, at most n, and what they cost.
local function peek_run(flow, n)
  local entries = redis.call('LRANGE', list_key(flow), 0, n - 1)
  if #entries == 0 then
    return 0, ''
  end
  local _, _, charges = parse_entry(entries[1])
  local run = 1
  while run < #entries and select(3, parse_entry(entries[run + 1])) == charges do
    run = run + 1
  end
  return run, charges
end

-- A flow is in `due` while it has jobs that may be sent, or while a worker holds it.
local function make_due(flow, at, only_if_absent)
  local key = flow_key(flow)
  if redis.call('HEXISTS', key, 'parked') == 1 then
    return
  end
  if only_if_absent then
    if redis.call('ZADD', due_key(flow), 'NX', int(at), flow) == 1 then
      redis.call('PUBLISH', P .. 'wake', '')
    end
  else
    redis.call('ZADD', due_key(flow), int(at), flow)
  end
end

-- Back to the head of its flow, as long as it waits there for its next attempt.
local function return_to_head(id, meta, now)
  redis.call('LPUSH', list_key(meta.flow), meta.entry)
  redis.call('HDEL', job_key(id), 'lease', 'retry_at')
  make_due(meta.flow, now, true)
end

-- One job less to be done; the last one takes the flow with it.
local function close_job(flow)
  local key = flow_key(flow)
  if redis.call('HINCRBY', key, 'open', -1) <= 0 then
    redis.call('ZREM', due_key(flow), flow)
    redis.call('SREM', P .. 'rule:' .. (redis.call('HGET', key, 'rule') or '') .. ':flows', flow)
    redis.call('DEL', key)
  end
end

-- A job reaches its end: out of the stream, its record kept for as long as its rule said.
local function finish(id, meta, status, now, fields)
  local key = job_key(id)
  redis.call('XACK', P .. 'jobs', 'workers', meta.stream_id)
  redis.call('XDEL', P .. 'jobs', meta.stream_id)
  redis.call('HSET', key, 'status', status, 'finished', int(now / 1000), unpack(fields))
  redis.call('HDEL', key, 'lease', 'retry_at')
  local ttl = meta.result_ttl
  if status == 'failed' then
    ttl = meta.dead_letter_ttl
    redis.call('ZADD', P .. 'dead', int(now), id)
  else
    redis.call('HDEL', key, 'request') -- only a dead letter may be sent again
  end
  redis.call('PEXPIRE', key, ttl)
  local idem = redis.call('HGET', key, 'idem')
  if idem then
    redis.call('PEXPIRE', P .. 'idem:' .. idem, ttl)
  end
  close_job(meta.flow)
end
