-- What the transitions share. Each script gets the partition's prefix, `{q0}:`, as KEYS[1] and appends the rest; the
-- prefix is a hash tag, so all of a partition's keys live in one slot.
--
--   jobs               stream: one entry a job, field `id`; its group's pending list holds what is in flight
--   job:<id>           hash: meta, status, request, attempts, lease, started, finished, code, message, answer,
--                      response, retry_at, idem; few fields, and short ones, because there may be millions. Of one
--                      that came by way of Kafka also: at ('-' while its message was not read, then "<partition> <offset>
--                      <bytes>"), vouched
--   flow:<flow>        hash: priority, revision, open, token, held, parked; a flow's name is "<rule id>|<descriptor>"
--   flow:<flow>:jobs   list: "<id> <stream id> <charges>", the next to be sent first
--   flow:<flow>:behind list: "<id> <partition> <offset> <bytes>": behind those, their requests left on Kafka's disk
--   flow:<flow>:awaiting  sorted set: behind those, jobs whose message was not read from Kafka yet, by submission
--   behind             sorted set: flows with jobs left on Kafka's disk, by the time at which they are worth a look
--   unread             sorted set: flows by the submission of a job that may be awaiting its message
--   caught_up          hash: a Kafka partition to the time (milliseconds) up to which it has been read
--   letters            sorted set: dead letters to be told to Kafka, by the time at which to try
--   due:<priority>     sorted set: flows by the time at which they are worth a look
--   priorities         sorted set: the priorities in use
--   retry              sorted set: jobs that back off, by the time at which they return to their flow
--   expiry             sorted set: flows by the time at which a job that waits there may have waited for too long
--   totals             hash: jobs and request bytes of all that are not final; how many bytes may come until the memory
--                      in use is looked at again (spare), and when it was (looked)
--   dead               sorted set: dead letters by the time at which they died
--   rule:<id>          hash: revision, json, interval: the rule as its flows know it, while it has any
--   rule:<id>:flows    set: the flows of a rule
--   revisions          hash: the revision up to which the flows of a rule that changed have been rescheduled
--   owner:<owner>      sorted set: an owner's jobs by submission; goes with the last of their records
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

local function behind_key(flow)
  return P .. 'flow:' .. flow .. ':behind'
end

local function awaiting_key(flow)
  return P .. 'flow:' .. flow .. ':awaiting'
end

local function job_key(id)
  return P .. 'job:' .. id
end

local function rule_of(flow)
  return string.match(flow, '^[^|]+')
end

local function rule_key(rule)
  return P .. 'rule:' .. rule
end

local function due_key(flow)
  return P .. 'due:' .. (redis.call('HGET', flow_key(flow), 'priority') or '0')
end

-- id, stream id, charges
local function parse_entry(entry)
  return string.match(entry, '^(%S+) (%S+) (.*)$')
end

-- How many jobs wait in a flow, those on Kafka too.
local function waiting(flow)
  return redis.call('LLEN', list_key(flow)) + redis.call('LLEN', behind_key(flow))
    + redis.call('ZCARD', awaiting_key(flow))
end

-- What is in use, and `maxmemory`; 0 where there is none.
local function memory()
  local info = redis.call('INFO', 'memory')
  return tonumber(string.match(info, '\nused_memory:(%d+)')), tonumber(string.match(info, '\nmaxmemory:(%d+)'))
end

-- What never changes of a job, in one field: "flow owner submitted deadline max_attempts result_ttl dead_letter_ttl
-- entry", times in milliseconds, '-' for no owner. nil for a job that is not there. The stream id of a job on Kafka is '-'.
local function write_meta(...)
  return table.concat({ ... }, ' ')
end

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
    entry = entry, stream_id = stream_id ~= '-' and stream_id or nil,
  }
end

-- How many jobs at the head cost the same, at most n, and what they cost.
local function peek_run(flow, n)
  local entries = redis.call('LRANGE', list_key(flow), 0, n - 1)
  if #entries == 0 then
    return 0, ''
  end
  local _, _, charges = parse_entry(entries[1])
  local tail, run = ' ' .. charges, 1 -- which holds no other space
  while run < #entries and string.sub(entries[run + 1], -#tail) == tail do
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

-- Whether the one stream id was given before the other.
local function is_before(id, other)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then
    return tonumber(ms) < tonumber(other_ms)
  end
  return tonumber(seq) < tonumber(other_seq)
end

-- The last entry, from the head on, that was accepted before this one; nil where the head was not.
local function last_before(list, stream_id)
  local page, from, last = 64, 0, nil
  while true do
    local entries = redis.call('LRANGE', list, from, from + page - 1)
    for _, entry in ipairs(entries) do
      local _, other = parse_entry(entry)
      if not is_before(other, stream_id) then
        return last
      end
      last = entry
    end
    if #entries < page then
      return last
    end
    from = from + page
  end
end

-- Out of where it waits in its flow.
local function leave(id, meta)
  if meta.stream_id then
    redis.call('LREM', list_key(meta.flow), 1, meta.entry)
    return
  end
  local at = redis.call('HGET', job_key(id), 'at')
  if at == '-' then
    redis.call('ZREM', awaiting_key(meta.flow), id)
  elseif at then
    redis.call('LREM', behind_key(meta.flow), 1, id .. ' ' .. at)
  end
end

local function watch_expiry(flow, deadline)
  redis.call('ZADD', P .. 'expiry', 'LT', int(deadline), flow)
end

-- Back to the head of its flow, behind what was accepted before it, to wait there for its next attempt.
local function return_to_head(id, meta, now)
  local list = list_key(meta.flow)
  local pivot = last_before(list, meta.stream_id)
  if pivot then
    redis.call('LINSERT', list, 'AFTER', pivot, meta.entry)
  else
    redis.call('LPUSH', list, meta.entry)
  end
  redis.call('HDEL', job_key(id), 'lease', 'retry_at')
  watch_expiry(meta.flow, meta.deadline)
  make_due(meta.flow, now, true)
end

-- Jobs that backed off long enough return to their flows.
local function return_retries(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'retry', '-inf', int(now), 'LIMIT', 0, 1000)) do
    redis.call('ZREM', P .. 'retry', id)
    if redis.call('HGET', job_key(id), 'status') == 'retrying' then
      return_to_head(id, read_meta(id), now)
    end
  end
end

-- One job more to be done. Its record stands.
local function open_job(id, flow)
  redis.call('HINCRBY', flow_key(flow), 'open', 1)
  redis.call('HINCRBY', P .. 'totals', 'jobs', 1)
  redis.call('HINCRBY', P .. 'totals', 'bytes', redis.call('HSTRLEN', job_key(id), 'request'))
end

-- One job less to be done; the last one takes the flow with it.
local function close_job(id, flow)
  local key = flow_key(flow)
  if redis.call('HINCRBY', P .. 'totals', 'jobs', -1) <= 0 then
    redis.call('DEL', P .. 'totals')
  else
    local bytes = redis.call('HSTRLEN', job_key(id), 'request')
    if bytes > 0 then
      redis.call('HINCRBY', P .. 'totals', 'bytes', -bytes)
    end
  end
  if redis.call('HINCRBY', key, 'open', -1) <= 0 then
    redis.call('ZREM', due_key(flow), flow)
    redis.call('ZREM', P .. 'expiry', flow)
    redis.call('ZREM', P .. 'behind', flow)
    redis.call('DEL', key)
    local rule = rule_key(rule_of(flow))
    redis.call('SREM', rule .. ':flows', flow)
    if redis.call('EXISTS', rule .. ':flows') == 0 then
      redis.call('DEL', rule)
    end
  end
end

-- Of a few members, the jobs whose records are gone are forgotten: a set that every fourth end of a job weeds like that
-- stays in proportion to the records. Returns how long the longest lasts of those looked at, nil where one has no end yet.
local LOOKED_AT, WEEDED_EVERY, FEW = 16, 4, 4
local function weed(set)
  local longest = 0
  for _, id in ipairs(redis.call('ZRANDMEMBER', set, LOOKED_AT)) do
    local ttl = redis.call('PTTL', job_key(id))
    if ttl == -2 then
      redis.call('ZREM', set, id)
    elseif ttl == -1 or not longest then
      longest = nil
    else
      longest = math.max(longest, ttl)
    end
  end
  return longest
end

-- An owner's list lasts for as long as the last record in it may; a little longer, not to be told so with every job.
local function keep_owned(owner, at_least_ms)
  local index = P .. 'owner:' .. owner
  if redis.call('PTTL', index) < at_least_ms then
    redis.call('PEXPIRE', index, int(at_least_ms + 60000))
  end
end

local function weed_owned(owner, its_turn)
  local index = P .. 'owner:' .. owner
  local are_few = redis.call('ZCARD', index) <= FEW
  local longest = (are_few or its_turn) and weed(index)
  if are_few and longest and longest > 0 then
    redis.call('PEXPIRE', index, int(longest))
  end
end

-- A job reaches its end: out of the stream, its record kept for as long as its rule said.
local function finish(id, meta, status, now, fields)
  local key, is_fourth = job_key(id), now % WEEDED_EVERY == 0
  if meta.stream_id then
    redis.call('XACK', P .. 'jobs', 'workers', meta.stream_id)
    redis.call('XDEL', P .. 'jobs', meta.stream_id)
  end
  redis.call('HSET', key, 'status', status, 'finished', int(now / 1000), unpack(fields))
  close_job(id, meta.flow)
  local ttl = meta.result_ttl
  if status == 'failed' then
    ttl = meta.dead_letter_ttl
    redis.call('HDEL', key, 'lease', 'retry_at')
    redis.call('ZADD', P .. 'dead', int(now), id)
    if is_fourth then
      weed(P .. 'dead')
    end
    if redis.call('HEXISTS', key, 'at') == 1 then
      redis.call('ZADD', P .. 'letters', int(now), id)
    end
  else
    redis.call('HDEL', key, 'lease', 'retry_at', 'request', 'at') -- only a dead letter may be sent again
  end
  redis.call('PEXPIRE', key, ttl)
  local idem = redis.call('HGET', key, 'idem')
  if idem then
    redis.call('PEXPIRE', P .. 'idem:' .. idem, ttl)
  end
  if meta.owner ~= '-' then
    keep_owned(meta.owner, tonumber(ttl))
    weed_owned(meta.owner, is_fourth)
  end
end

local function expire(id, meta, now)
  finish(id, meta, 'failed', now, { 'code', 'expired', 'message', 'The job waited longer than its rule allows.' })
end

-- A job that nobody was promised: as if it had never been, but that its record says that it is not to be sent.
local function cancel_unsent(id, now)
  local meta = read_meta(id)
  leave(id, meta)
  local idem = redis.call('HGET', job_key(id), 'idem')
  if idem then
    redis.call('DEL', P .. 'idem:' .. idem)
    redis.call('HDEL', job_key(id), 'idem')
  end
  redis.call('ZREM', P .. 'owner:' .. meta.owner, id)
  finish(id, meta, 'canceled', now, {})
end

-- A flow that may be new, and what it must know of its rule. Returns whether the caller's revision is behind one that
-- the flows were rescheduled for: such a caller can't know when a flow may go on.
--
-- A later revision than the flows know is the workers' to bring, who look at them then; unless they are past it.
local function enter_flow(flow, is_new, priority, revision, rule_json, interval)
  local rule = rule_of(flow)
  local known = redis.call('HGET', rule_key(rule), 'revision')
  local rescheduled = tonumber(redis.call('HGET', P .. 'revisions', rule) or 0)
  revision = tonumber(revision)
  if is_new then
    redis.call('SADD', rule_key(rule) .. ':flows', flow)
    redis.call('HSET', flow_key(flow), 'revision', int(revision), 'priority', priority)
    redis.call('ZADD', P .. 'priorities', priority, priority)
  end
  if not known or revision > tonumber(known) and revision <= rescheduled then
    redis.call('HSET', rule_key(rule), 'revision', int(revision), 'json', rule_json, 'interval', interval)
  end
  return revision < rescheduled
end

-- Whether a request from Kafka may be held here, as the one after `depth` others of its flow; nil where there is not even
-- room for the reference to it. A flow of few and small ones is never kept waiting by those of others.
--
-- room: window, most bytes, parts of `maxmemory` for requests and for references; used, limit, bytes: what there is
local function may_hold(room, depth, bytes)
  if room.limit > 0 and room.used + bytes > room.limit * room.references then
    return nil
  end
  if depth >= room.window then
    return false
  end
  local fits = room.bytes + bytes <= room.most_bytes
    and (room.limit == 0 or room.used + bytes <= room.limit * room.requests)
  return fits or depth * bytes < 65536
end

local function room_of(window, most_bytes, requests, references)
  local used, limit = memory()
  return {
    window = tonumber(window), most_bytes = tonumber(most_bytes), requests = tonumber(requests),
    references = tonumber(references), used = used, limit = limit,
    bytes = tonumber(redis.call('HGET', P .. 'totals', 'bytes') or 0),
  }
end

-- A request from Kafka takes its place at the end of the flow's list.
local function put_in(id, meta, request, now)
  local stream_id = redis.call('XADD', P .. 'jobs', '*', 'id', id)
  local _, _, charges = parse_entry(meta.entry)
  local entry = id .. ' ' .. stream_id .. ' ' .. charges
  redis.call('HSET', job_key(id), 'request', request, 'meta', write_meta(meta.flow, meta.owner, meta.submitted,
    int(meta.deadline), meta.max_attempts, meta.result_ttl, meta.dead_letter_ttl, entry))
  redis.call('HINCRBY', P .. 'totals', 'bytes', #request)
  redis.call('RPUSH', list_key(meta.flow), entry)
  make_due(meta.flow, now, true)
end

-- A job whose request stays on Kafka's disk until its flow has room.
local function leave_behind(id, meta, at, now)
  redis.call('HSET', job_key(id), 'at', at)
  redis.call('RPUSH', behind_key(meta.flow), id .. ' ' .. at)
  redis.call('ZADD', P .. 'behind', 'NX', int(now), meta.flow)
end
