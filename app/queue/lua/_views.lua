-- Jobs as their owners see them.
--
-- USES _flows

-- What is asked of a flow once for all of its jobs that one call looks at.
local seen_flows = {}
local function seen_flow(name, now)
  local flow = seen_flows[name]
  if not flow then
    local priority, ring, parked, kafka, hold_code, hold_until, waits_for = unpack(call('HMGET', flow_key(name),
      'priority', 'ring', 'parked', 'kafka', 'hold_code', 'hold_until', 'waits_for'))
    local first_wait, interval = pace_of(name, priority, ring, now)
    if kafka and not first_wait and not parked then
      first_wait = 0 -- the flow is due as soon as a request is here
    end
    flow = {
      first_wait = not parked and first_wait or nil, interval = interval or tonumber(call('HGET', rule_key(rule_of(name)), 'interval') or 0), kafka = kafka,
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

-- nil where there is no such job
local function view(id, now)
  local job = read_job(id)
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
  return {
    id, job.status, job.flow, job.owner, job.submitted, int(job.attempts), job.started, job.finished or '-',
    job.code or '-', job.message or '', job.answer or '-', job.stored or '0', position, int(math.ceil(eta)), ttl, waits_for,
  }
end
