-- Dead letters become jobs again, at the end of their flows: with the same id, owner and idempotency key, and as many
-- attempts as new jobs. Those before stay known.
--
-- USES _owners _registration _kafka _dead_letters

-- What a job must know of its rule, from eleven arguments as of app/queue/flow_parameters.py, the first of them at `at`.
local function rule_at(at)
  return {
    max_wait = ARGV[at], max_attempts = ARGV[at + 1], result_ttl = ARGV[at + 2], dead_letter_ttl = ARGV[at + 3],
    interval = ARGV[at + 6], priority = ARGV[at + 7], revision = ARGV[at + 8], json = ARGV[at + 9], pace = ARGV[at + 10],
  }
end

-- The request of a dead letter, '' for one that is on Kafka alone; nil where it is nowhere any more.
local function request_of_dead(id, dead)
  local request = sub(after_line(call('GET', job_key(id))), dead.response_bytes + 1)
  return (request ~= '' or dead.place) and request or nil
end

-- The attempts of a dead letter as its state has them from now on: the last of them says that the job is replayed.
local function past_when_replayed(dead, now_ms)
  local job = { past = dead.past, worker = dead.worker }
  if dead.took ~= '-' then
    end_attempt(job, tonumber(dead.finished), dead.code, dead.took, dead.answer)
  end
  local past = job.past
  if past == '-' then
    past = concat({ '0', '-', dead.finished, dead.finished, '-', '-' }, ',')
  end
  local before, last = match(past, '^(.*;)([^;]+)$')
  last = match(last or past, '^[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,[^,]*') -- without the replay before this one
  return (before or '') .. concat({ last, dead.finished, dead.code, int(now_ms) }, ',')
end

-- A request that is here stays here, before those of its flow that are on Kafka: Kafka may have forgotten it.
local function place_in_flow(id, job, request, place, now)
  if place then
    call('HSET', P .. 'kafka', id, place)
  end
  if request ~= '' then
    call('ZADD', fifo_key(job.flow), job.seq, fifo_member(id, job.costs))
    make_due(job.flow, now)
  else
    spill(id, job, place, now)
  end
end

local function open_in_flow(job, rule, request_bytes)
  local key = flow_key(job.flow)
  local known = call('HGET', key, 'revision')
  local behind = known ~= rule.revision and is_behind(rule_of(job.flow), rule)
  if not known then
    call('HSET', key, fields_of_rule(rule, behind))
    call('ZADD', P .. 'priorities', rule.priority, rule.priority)
    register_flows({ job.flow })
  end
  call('HINCRBY', key, 'open', 1)
  call('HINCRBY', key, 'bytes', request_bytes)
  call('HSET', key, 'mixed_waits', '1')
  if job.costs ~= '-' then
    call('HSET', key, 'mixed', '1')
  end
  call('HINCRBY', P .. 'totals', 'jobs', 1)
  call('HINCRBY', P .. 'totals', 'bytes', request_bytes)
  call('ZADD', P .. 'expiry', 'LT', job.deadline, job.flow)
end

-- dead: the dead letter as it was read; request: as `request_of_dead` found it
local function replay_job(id, dead, request, rule, now)
  local job = {
    from_kafka = dead.place ~= nil, flow = dead.flow, owner = dead.owner, submitted = dead.submitted,
    deadline = int(now / 1000 + tonumber(rule.max_wait)), max_attempts = rule.max_attempts, result_ttl = rule.result_ttl,
    dead_letter_ttl = rule.dead_letter_ttl, seq = int(call('HINCRBY', flow_key(dead.flow), 'seq', 1)),
    bytes = int(#request), costs = dead.costs, idem = dead.idem,
    status = 'queued', lease = '-', attempts = 0, started = '-', retry_at = '-', code = '-', worker = '-', leased = '-',
    past = past_when_replayed(dead, now / 1000), message = '',
  }
  if request ~= '' then
    job.stream_id = call('XADD', P .. 'jobs', '*', 'id', id)
  end
  call('SET', job_key(id), write_header(job) .. '\n' .. request)
  save_state(id, job)
  call('ZREM', DEAD, id)
  call('ZREM', P .. 'outbox', id)
  if job.idem then
    call('PERSIST', P .. 'idem:' .. job.idem)
  end
  if job.owner ~= '-' then
    keep_owned(job.owner, rule.max_wait + math.max(rule.result_ttl, rule.dead_letter_ttl), now)
  end
  open_in_flow(job, rule, #request)
  place_in_flow(id, job, request, dead.place, now)
end
