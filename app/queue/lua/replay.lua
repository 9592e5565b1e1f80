-- A dead letter becomes a job again, at the end of its flow: the same id, owner and idempotency key, all attempts anew.
--
-- USES  _owners _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 id            2 rule id       3 priority        4 revision        5 rule_json   6 interval_us
--       7 max_wait_ms   8 max_attempts  9 result_ttl_ms  10 dead_letter_ttl_ms
-- RETURN 1, 0 if it is no dead letter (any more), -1 where there is no such job, -2 where it is another rule's,
--        -3 where its request is nowhere any more

local id = ARGV[1]
local key = job_key(id)
local meta = read_meta(id)
if not meta then
  return -1
end
if call('HGET', key, 'status') ~= 'failed' then
  return 0
end
if rule_of(meta.flow) ~= ARGV[2] then
  return -2
end

local now = now_us()
local at = call('HGET', key, 'at')
-- What is here stays here, before those of its flow that are on Kafka: Kafka may have forgotten it.
local goes_in = call('HEXISTS', key, 'request') == 1
if not goes_in and (not at or at == '-') then
  return -3
end
local stream_id = goes_in and call('XADD', P .. 'jobs', '*', 'id', id) or '-'
local deadline = int(now / 1000 + tonumber(ARGV[7]))
call('HSET', key, 'status', 'queued', 'meta',
  write_meta(meta.flow, meta.owner, meta.submitted, deadline, ARGV[8], ARGV[9], ARGV[10], stream_id, meta.charges))
call('HDEL', key, 'attempts', 'started', 'finished', 'code', 'message', 'answer', 'response')
call('PERSIST', key)
call('ZREM', P .. 'dead', id)
if meta.idem then
  call('PERSIST', P .. 'idem:' .. meta.idem)
end
if meta.owner ~= '-' then
  keep_owned(meta.owner, ARGV[7] + math.max(ARGV[9], ARGV[10]))
end
enter_flow(meta.flow, call('HGET', flow_key(meta.flow), 'revision'), ARGV[3], ARGV[4], ARGV[5], ARGV[6])
call('HINCRBY', flow_key(meta.flow), 'open', '1')
call('HINCRBY', P .. 'totals', 'jobs', '1')
call('HINCRBY', P .. 'totals', 'bytes', call('HSTRLEN', key, 'request'))
watch_expiry(meta.flow, deadline)
if goes_in then
  call('RPUSH', list_key(meta.flow), write_entry(id, stream_id, meta.charges))
  make_due(meta.flow, now, true)
else
  spill(id, meta, at, now)
end
return 1
