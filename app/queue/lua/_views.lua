-- Jobs as their owners see them.
--
-- USES _flows

-- What is asked of a flow once for all of its jobs that one call looks at.
local seen_flows = {}
local function seen_flow(name, now)
  local flow = seen_flows[name]
  if not flow then
    local priority, ring, of_flow, parked, kafka, waits_for = unpack(call('HMGET', flow_key(name),
      'priority', 'ring', 'interval', 'parked', 'kafka', 'waits_for'))
    local first_wait, interval = pace_of(name, priority, ring, of_flow, now)
    if kafka and not first_wait and not parked then
      first_wait = 0 -- the flow is due as soon as a request is here
    end
    flow = {
      first_wait = not parked and first_wait or nil,
      interval = interval or tonumber(call('HGET', rule_key(rule_of(name)), 'interval') or 0), kafka = kafka,
      waits_for = ring and rule_of(ring) or waits_for or rule_of(name),
    }
    seen_flows[name] = flow
  end
  return flow
end

-- How many jobs are before it in its flow, wherever it waits; nil for one that does not.
local function index_of(id, job, flow)
  if job.stream_id then
    return call('ZRANK', fifo_key(job.flow), fifo_member(id, job.costs))
  end
  local before = call('ZCARD', fifo_key(job.flow))
  local rank = call('ZRANK', spilled_key(job.flow), id)
  if rank then
    return before + rank
  end
  rank = call('ZRANK', awaiting_key(job.flow), id)
  return rank and before + call('ZCARD', spilled_key(job.flow)) + rank
end

-- What a view needs of the header of a job that was never leased: stream_id, submitted, costs, owner, flow.
local HEADER_OF_WAITING = '^[wk] %d+ %d+ (%S+) %d+ %d+ %d+ %d+ (%d+) (%S+) %S+ (%S+) ([^\n]+)'

local function waiting_job(text)
  local stream_id, submitted, costs, owner, flow = match(text, HEADER_OF_WAITING)
  if stream_id then
    return {
      status = 'queued', flow = flow, owner = owner, submitted = submitted, attempts = 0, started = '-', retry_at = '-',
      costs = costs, stream_id = stream_id ~= '-' and stream_id or nil,
    }
  end
end

-- A job as its owner sees it, nil where there is no such job. state: what `state` holds for it. It is one text, a field in
-- each line, because Redis and edges take much longer for so many small texts:
--
--   id, status, flow, owner, submitted_ms, attempts, started_ms, finished_ms, code, message, answer, stored,
--   position (0 for none), eta_us (-1 for not known), ttl_ms (-1 for none), the rule that it waits for
--
-- with '-' for what there is not.
local function view_of(id, state, now)
  local job
  if state then
    job = parse_state(state)
  else
    local text = call('GETRANGE', job_key(id), 0, HEADER_BYTES - 1)
    job = waiting_job(text) or parse_final(text)
  end
  if not job then
    return nil
  end
  local position, eta, waits_for, ttl = 0, -1, '', -1
  if job.is_final then
    ttl = call('PTTL', job_key(id))
  elseif job.status ~= 'running' then
    local flow = seen_flow(job.flow, now)
    local index = index_of(id, job, flow)
    if index then
      position = index + 1
      eta = flow.first_wait and flow.first_wait + index * flow.interval or -1
      waits_for = flow.waits_for
    elseif job.retry_at ~= '-' then
      eta = math.max(0, job.retry_at - now)
    end
  end
  return concat({
    id, job.status, job.flow, job.owner, job.submitted, job.attempts, job.started, job.finished or '-', job.code or '-',
    job.message or '', job.answer or '-', job.stored or '0', int(position), int(math.ceil(eta)), int(ttl), waits_for,
  }, '\n')
end
