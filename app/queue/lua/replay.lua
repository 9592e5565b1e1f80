-- A dead letter becomes a job again, at the end of its flow: with the same id, owner and idempotency key, and all its
-- attempts.
--
-- USES  _owners _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 id   then of its rule as app/queue/flow_parameters.py: 2 max_wait_ms   3 max_attempts   4 result_ttl_ms
--       5 dead_letter_ttl_ms   6 max_depth   7 max_flow_bytes   8 interval_us   9 priority   10 revision   11 json   12 pace
--       13 rule id
-- RETURN 1, 0 if it is no dead letter (any more), -1 where there is no such job, -2 where it is another rule's,
--        -3 where its request is nowhere any more
-- COST  O(log n)

local id, rule_id = ARGV[1], ARGV[13]
local rule = {
  max_wait = ARGV[2], priority = ARGV[9], revision = ARGV[10], json = ARGV[11], pace = ARGV[12], interval = ARGV[8],
}
local dead = read_job(id)
if not dead then
  return -1
end
if dead.status ~= 'failed' then
  return 0
end
if rule_of(dead.flow) ~= rule_id then
  return -2
end
-- A request that is here stays here, before those of its flow that are on Kafka: Kafka may have forgotten it.
local request = sub(after_line(call('GET', job_key(id))), dead.response_bytes + 1)
if request == '' and not dead.place then
  return -3
end

local now = now_us()
local flow = dead.flow
local seq = call('HINCRBY', flow_key(flow), 'seq', 1)
local job = {
  from_kafka = dead.place ~= nil, flow = flow, owner = dead.owner, submitted = dead.submitted,
  deadline = int(now / 1000 + tonumber(ARGV[2])), max_attempts = ARGV[3], result_ttl = ARGV[4],
  dead_letter_ttl = ARGV[5], seq = int(seq), bytes = int(#request), costs = dead.costs, idem = dead.idem,
}
if request ~= '' then
  job.stream_id = call('XADD', P .. 'jobs', '*', 'id', id)
end
call('SET', job_key(id), write_header(job) .. '\n' .. request)
call('ZREM', P .. 'dead', id)
call('ZREM', P .. 'outbox', id)
if job.idem then
  call('PERSIST', P .. 'idem:' .. job.idem)
end
if job.owner ~= '-' then
  keep_owned(job.owner, ARGV[2] + math.max(ARGV[4], ARGV[5]), now)
end
local known = call('HGET', flow_key(flow), 'revision')
local behind = known ~= rule.revision and is_behind(rule_id, rule)
if not known then
  call('HSET', flow_key(flow), unpack(fields_of_rule(rule, behind)))
  call('ZADD', P .. 'priorities', rule.priority, rule.priority)
  register_flows({ flow })
end
call('HINCRBY', flow_key(flow), 'open', 1)
call('HINCRBY', flow_key(flow), 'bytes', #request)
call('HSET', flow_key(flow), 'mixed_waits', '1')
if job.costs ~= '-' then
  call('HSET', flow_key(flow), 'mixed', '1')
end
call('HINCRBY', P .. 'totals', 'jobs', 1)
call('HINCRBY', P .. 'totals', 'bytes', #request)
call('ZADD', P .. 'expiry', 'LT', job.deadline, flow)
if dead.place then
  call('HSET', P .. 'kafka', id, dead.place)
end
if request ~= '' then
  call('ZADD', fifo_key(flow), job.seq, fifo_member(id, job.costs))
  make_due(flow, now)
else
  spill(id, job, dead.place, now)
end
return 1
