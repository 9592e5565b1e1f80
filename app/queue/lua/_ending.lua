-- The ends of jobs.
--
-- USES _names _records _flows _rings _registration _owners _outcomes

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
    keys[2 * i - 1], keys[2 * i] = flow_key(flow), held_key(flow)
  end
  update_due({}, due)
  call('ZREM', P .. 'expiry', unpack(flows))
  if call('EXISTS', P .. 'rescheduled') == 1 then
    call('SREM', P .. 'rescheduled', unpack(flows))
  end
  call('DEL', unpack(keys))
  unregister_flows(flows)
end

-- flows: name to {ends =, bytes =, succeeded =} of jobs that are no longer open
local function close_in_flows(flows)
  local closed, due = {}, {}
  for flow, sum in pairs(flows) do
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

-- The ends of jobs in one call of a script. What they have in common is written once, by write_ends.
--
-- flows: name to {ends =, bytes =, succeeded =}; owners: name to {ends =, ttl = the longest, is_late =};
-- expiry: how long a record lasts to when it expires; unsent: owner to the ids of jobs that nobody was promised
local function new_ending(now)
  return {
    now = now, now_ms = int(now / 1000), ids = {}, outcomes = {}, from_stream = {}, from_kafka = {}, bytes = 0, dead = 0,
    flows = {}, owners = {}, expiry = {}, unsent = {},
  }
end

-- What of a header its job's end needs: kind, deadline, stream_id, bytes, result_ttl, dead_letter_ttl, submitted, costs,
-- idem, owner, and where the flow begins, which is the last.
local HEADER_AT_END = '^(%a) (%d+) %d+ (%S+) %d+ (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) ()'

-- A dead letter: where its request is on Kafka, '-' for nowhere; and the request that is here. Only a dead letter may be
-- sent again.
local function keep_dead_letter(ending, id, is_from_kafka)
  local place = '-'
  if is_from_kafka then
    place = match(call('HGET', P .. 'kafka', id) or '', '^%d+ %d+ %d+$') or '-'
    call('ZADD', P .. 'outbox', int(ending.now), id)
  end
  call('ZADD', P .. 'dead', int(ending.now), id)
  ending.dead = ending.dead + 1
  return place, request_of(id)
end

local function end_in_flow(ending, flow, bytes, status)
  local sum = ending.flows[flow]
  if not sum then
    sum = { ends = 0, bytes = 0 }
    ending.flows[flow] = sum
  end
  sum.ends, sum.bytes = sum.ends + 1, sum.bytes + bytes
  if status == 'succeeded' then
    sum.succeeded = true
  end
end

local function end_of_owner(ending, owner, ttl, is_late)
  local sum = ending.owners[owner]
  if not sum then
    sum = { ends = 0, ttl = 0 }
    ending.owners[owner] = sum
  end
  sum.ends = sum.ends + 1
  if ttl > sum.ttl then
    sum.ttl = ttl
  end
  if is_late then
    sum.is_late = true
  end
end

-- A job reaches its end: its record is what is kept of it, for as long as its rule said.
--
-- header: a text that ends with its header, which begins at `from`; code, answer: '-' for none; stored: whether the answer is
-- kept (1 or 0), and how long the request took ('-' where none was sent); response: '' for none; worker, past: as its state
-- has them
local function end_job(ending, id, header, from, attempts, started, status, code, message, answer, stored, response, worker,
  past)
  local kind, deadline, stream_id, bytes, result_ttl, dead_letter_ttl, submitted, costs, idem, owner, flow_at =
    match(header, HEADER_AT_END, from)
  local flow = sub(header, flow_at)
  local now_ms, ttl, place, request = ending.now_ms, result_ttl, '-', ''
  if status == 'failed' then
    ttl = dead_letter_ttl
    place, request = keep_dead_letter(ending, id, kind == 'k')
  end
  local expiry = ending.expiry[ttl]
  if not expiry then
    expiry = int(now_ms + ttl)
    ending.expiry[ttl] = expiry
  end
  local line = LETTERS[status] .. ' ' .. flow .. ' ' .. owner .. ' ' .. submitted .. ' ' .. started .. ' '
    .. now_ms .. ' ' .. attempts .. ' ' .. answer .. ' ' .. stored .. ' ' .. costs .. ' ' .. idem .. ' ' .. worker .. ' '
    .. past .. ' ' .. place .. '|' .. int(#response) .. ' ' .. code .. ' ' .. (message == '' and '' or one_line(message))
  call('SET', job_key(id), line .. '\n' .. response .. request, 'PXAT', expiry)
  if idem ~= '-' then
    call('PEXPIREAT', P .. 'idem:' .. idem, expiry) -- not a moment later than the record: its job would not be there
  end
  local ids, streams = ending.ids, ending.from_stream
  local n = #ids + 1
  ids[n], ending.outcomes[2 * n - 1], ending.outcomes[2 * n] = id, id, line
  if stream_id ~= '-' then
    streams[#streams + 1] = stream_id
  end
  if kind == 'k' then
    push(ending.from_kafka, id)
  end
  bytes = tonumber(bytes)
  ending.bytes = ending.bytes + bytes
  end_in_flow(ending, flow, bytes, status)
  if owner ~= '-' then
    end_of_owner(ending, owner, tonumber(ttl), deadline < now_ms)
  end
end

-- The same for a job that was read.
local function end_read_job(ending, id, job, status, code, message)
  end_job(ending, id, write_header(job), 1, int(job.attempts), job.started, status, code or '-', message or '', '-', '0 -', '',
    '-', job.past)
end

local function expire_job(ending, id, job)
  end_read_job(ending, id, job, 'failed', 'expired', 'The job waited longer than its rule allows.')
end

-- Writes what the ends have in common, once all jobs that end in this call have: they are out of the stream, and their
-- flows, their owners and the totals know.
local function write_ends(ending)
  if #ending.ids == 0 then
    return
  end
  call('HDEL', P .. 'state', unpack(ending.ids))
  if #ending.from_kafka > 0 then
    call('HDEL', P .. 'kafka', unpack(ending.from_kafka))
  end
  if #ending.from_stream > 0 then
    call('XACK', P .. 'jobs', 'workers', unpack(ending.from_stream))
    call('XDEL', P .. 'jobs', unpack(ending.from_stream))
  end
  close_in_totals(#ending.ids, ending.bytes)
  close_in_flows(ending.flows)
  for owner, sum in pairs(ending.owners) do
    if sum.is_late then
      keep_owned(owner, sum.ttl, ending.now)
    end
    prune_owned(owner, sum.ends, sum.ttl, ending.now)
  end
  if ending.dead > 0 then
    prune_after(P .. 'dead', ending.dead, ending.now)
  end
  if #ending.outcomes > 0 then
    add_outcomes(ending.outcomes, ending.now)
  end
end

-- A job that nobody was promised is canceled as if it had never been, except that its record says that it must not be sent.
-- The ending is one of such jobs only, which write_unsent writes.
local function cancel_unsent(ending, id, job)
  leave_flow(id, job)
  if job.idem then
    call('DEL', P .. 'idem:' .. job.idem)
    job.idem = nil
  end
  end_read_job(ending, id, job, 'canceled')
  push(list_of(ending.unsent, job.owner), id)
end

-- Their owners' lists are pruned by the number of jobs that they had, so they forget these afterwards.
local function write_unsent(ending)
  ending.outcomes = {}
  write_ends(ending)
  for owner, ids in pairs(ending.unsent) do
    call('ZREM', P .. 'owner:' .. owner, unpack(ids))
  end
end
