-- The ends of jobs.
--
-- USES _names _records _flows _owners

-- Out of where a job waits in its flow.
local function leave_flow(id, job)
  if job.stream_id then
    call('ZREM', fifo_key(job.flow), fifo_member(id, job.costs))
  else
    call('ZREM', spilled_key(job.flow), id)
    call('ZREM', awaiting_key(job.flow), id)
  end
end

-- The last open job of a flow takes the flow with it.
--
-- flows: the names; due: priority to those of them that may be in `due`
local function close_flows(flows, due)
  local keys = {}
  for i, flow in ipairs(flows) do
    keys[i] = flow_key(flow)
  end
  update_due({}, due)
  call('ZREM', P .. 'expiry', unpack(flows))
  call('DEL', unpack(keys))
  unregister_flows(flows)
end

-- closing: flow to {ends =, bytes =, succeeded =} of jobs that are no longer open
local function close_in_flows(closing)
  local closed, due = {}, {}
  for flow, sum in pairs(closing) do
    local key = flow_key(flow)
    local open, bytes, refusals, priority, ring, kafka = unpack(
      call('HMGET', key, 'open', 'bytes', 'refusals', 'priority', 'ring', 'kafka'))
    open = (open or 0) - sum.ends
    if open > 0 then
      call('HSET', key, 'open', int(open), 'bytes', int(math.max(0, (bytes or 0) - sum.bytes)))
      if refusals and sum.succeeded then
        call('HDEL', key, 'refusals', 'hold_until', 'hold_code')
      end
    else
      push(closed, flow)
      if ring then
        leave_ring(flow, ring)
      else
        push(list_of(due, priority or '0'), flow)
      end
      if kafka then
        call('ZREM', P .. 'spilled', flow)
      end
    end
  end
  if #closed > 0 then
    close_flows(closed, due)
  end
end

local function close_in_totals(ends, bytes)
  if call('HINCRBY', P .. 'totals', 'jobs', int(-ends)) <= 0 then
    call('DEL', P .. 'totals')
  elseif bytes > 0 then
    call('HINCRBY', P .. 'totals', 'bytes', int(-bytes))
  end
end

local function request_of(id)
  local text = call('GET', job_key(id))
  return text and after_line(text) or ''
end

-- What is kept of a job. Returns for how many milliseconds.
--
-- one: id, job, status; answer, stored, response, code, message where there are any
local function store_end(one, now, now_ms)
  local id, job = one.id, one.job
  local ttl, request, response, place = job.result_ttl, '', one.response or '', '-'
  if one.status == 'failed' then
    ttl, request = job.dead_letter_ttl, request_of(id) -- only a dead letter may be sent again
    if job.from_kafka then
      place = match(call('HGET', P .. 'kafka', id) or '', '^%d+ %d+ %d+$') or '-'
      call('ZADD', P .. 'outbox', int(now), id)
    end
    call('ZADD', P .. 'dead', int(now), id)
  end
  local line = table.concat({
    LETTERS[one.status], job.flow, job.owner, job.submitted, job.started, now_ms, int(job.attempts), one.answer or '-',
    one.stored or '0', job.costs, job.idem or '-', place .. '|' .. #response, one.code or '-', one_line(one.message or ''),
  }, ' ')
  call('SET', job_key(id), line .. '\n' .. response .. request, 'PX', ttl)
  if job.idem then
    call('PEXPIRE', P .. 'idem:' .. job.idem, ttl)
  end
  return tonumber(ttl)
end

-- Jobs reach their ends: out of the stream, their records kept for as long as their rules said. What they have in common
-- is written once.
--
-- ends: for each job what store_end takes
local function finish_all(ends, now)
  local now_ms = int(now / 1000)
  local ids, from_stream, from_kafka, bytes, dead, closing, of_owner, kept_ms = {}, {}, {}, 0, 0, {}, {}, {}
  for i, one in ipairs(ends) do
    local job = one.job
    ids[i] = one.id
    from_stream[#from_stream + 1] = job.stream_id
    if job.from_kafka then
      from_kafka[#from_kafka + 1] = one.id
    end
    bytes, dead = bytes + job.bytes, dead + (one.status == 'failed' and 1 or 0)
    local ttl = store_end(one, now, now_ms)
    local sum = closing[job.flow]
    if not sum then
      sum = { ends = 0, bytes = 0 }
      closing[job.flow] = sum
    end
    sum.ends, sum.bytes = sum.ends + 1, sum.bytes + job.bytes
    sum.succeeded = sum.succeeded or one.status == 'succeeded'
    of_owner[job.owner] = (of_owner[job.owner] or 0) + 1
    kept_ms[job.owner] = math.max(kept_ms[job.owner] or 0, ttl)
  end
  call('HDEL', P .. 'state', unpack(ids))
  if #from_kafka > 0 then
    call('HDEL', P .. 'kafka', unpack(from_kafka))
  end
  if #from_stream > 0 then
    call('XACK', P .. 'jobs', 'workers', unpack(from_stream))
    call('XDEL', P .. 'jobs', unpack(from_stream))
  end
  close_in_totals(#ends, bytes)
  close_in_flows(closing)
  of_owner['-'] = nil
  for owner, count in pairs(of_owner) do
    keep_owned(owner, kept_ms[owner])
    prune_owned(owner, count, now)
  end
  if dead > 0 then
    prune_after(P .. 'dead', dead, now)
  end
end

local function finish(one, now)
  finish_all({ one }, now)
end

local function expired(id, job)
  return { id = id, job = job, status = 'failed', code = 'expired', message = 'The job waited longer than its rule allows.' }
end

-- A job that nobody was promised is canceled as if it had never been, except that its record says that it must not be sent.
local function cancel_unsent(id, job, now)
  leave_flow(id, job)
  if job.idem then
    call('DEL', P .. 'idem:' .. job.idem)
    job.idem = nil
  end
  call('ZREM', P .. 'owner:' .. job.owner, id)
  finish({ id = id, job = job, status = 'canceled' }, now)
end
