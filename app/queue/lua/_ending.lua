-- The ends of jobs.
--
-- USES _names _records _flows _owners

-- Out of where it waits in its flow.
local function leave(id, meta)
  if meta.stream_id then
    call('LREM', list_key(meta.flow), 1, write_entry(id, meta.stream_id, meta.charges))
    return
  end
  local at = call('HGET', job_key(id), 'at')
  if at == '-' then
    call('ZREM', awaiting_key(meta.flow), id)
  elseif at then
    call('LREM', spilled_key(meta.flow), 1, id .. ' ' .. at)
  end
end

-- Some jobs of a flow less to be done; the last one takes the flow with it.
local function close(flow, ends)
  local key = flow_key(flow)
  if call('HINCRBY', key, 'open', int(-ends)) > 0 then
    return
  end
  call('ZREM', due_key(flow), flow)
  call('ZREM', P .. 'expiry', flow)
  call('ZREM', P .. 'spilled', flow)
  call('DEL', key)
  local rule = rule_key(rule_of(flow))
  call('SREM', rule .. ':flows', flow)
  if call('EXISTS', rule .. ':flows') == 0 then
    call('DEL', rule)
  end
end

local function close_in_totals(ends, bytes)
  if call('HINCRBY', P .. 'totals', 'jobs', int(-ends)) <= 0 then
    call('DEL', P .. 'totals')
  elseif bytes > 0 then
    call('HINCRBY', P .. 'totals', 'bytes', int(-bytes))
  end
end

-- What is kept of a job, and for how many milliseconds; these are returned.
local function store_end(id, meta, status, now, now_ms, fields)
  local key, ttl = job_key(id), meta.result_ttl
  call('HSET', key, 'status', status, 'finished', now_ms, unpack(fields))
  if status == 'failed' then
    ttl = meta.dead_letter_ttl
    call('HDEL', key, 'lease', 'retry_at')
    call('ZADD', P .. 'dead', int(now), id)
    if call('HEXISTS', key, 'at') == 1 then
      call('ZADD', P .. 'outbox', int(now), id)
    end
  else
    call('HDEL', key, 'lease', 'retry_at', 'request', 'at') -- only a dead letter may be sent again
  end
  call('PEXPIRE', key, ttl)
  if meta.idem then
    call('PEXPIRE', P .. 'idem:' .. meta.idem, ttl)
  end
  return tonumber(ttl)
end

-- Jobs reach their ends: out of the stream, their records kept for as long as their rules said. What they have in common
-- is written once.
--
-- ends: for each job {id =, meta =, status =, fields = what else is stored}
local function finish_all(ends, now)
  local now_ms = int(now / 1000)
  local from_stream, bytes, dead, of_flow, of_owner, kept_ms = {}, 0, 0, {}, {}, {}
  for _, one in ipairs(ends) do
    local flow, owner = one.meta.flow, one.meta.owner
    from_stream[#from_stream + 1] = one.meta.stream_id
    bytes = bytes + call('HSTRLEN', job_key(one.id), 'request')
    dead = dead + (one.status == 'failed' and 1 or 0)
    local ttl = store_end(one.id, one.meta, one.status, now, now_ms, one.fields)
    of_flow[flow] = (of_flow[flow] or 0) + 1
    of_owner[owner] = (of_owner[owner] or 0) + 1
    kept_ms[owner] = math.max(kept_ms[owner] or 0, ttl)
  end
  if #from_stream > 0 then
    call('XACK', P .. 'jobs', 'workers', unpack(from_stream))
    call('XDEL', P .. 'jobs', unpack(from_stream))
  end
  close_in_totals(#ends, bytes)
  for flow, count in pairs(of_flow) do
    close(flow, count)
  end
  of_owner['-'] = nil
  for owner, count in pairs(of_owner) do
    keep_owned(owner, kept_ms[owner])
    prune_owned(owner, count, now)
  end
  if dead > 0 then
    prune_after(P .. 'dead', dead, now)
  end
end

local function finish(id, meta, status, now, fields)
  finish_all({ { id = id, meta = meta, status = status, fields = fields } }, now)
end

local EXPIRED = { 'code', 'expired', 'message', 'The job waited longer than its rule allows.' }

-- A job that nobody was promised: as if it had never been, but that its record says that it is not to be sent.
local function cancel_unsent(id, now)
  local meta = read_meta(id)
  leave(id, meta)
  if meta.idem then
    call('DEL', P .. 'idem:' .. meta.idem)
    call('HDEL', job_key(id), 'idem')
    meta.idem = nil
  end
  call('ZREM', P .. 'owner:' .. meta.owner, id)
  finish(id, meta, 'canceled', now, {})
end
