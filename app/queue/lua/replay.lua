-- A dead letter becomes a job again, at the end of its flow: with the same id, owner and idempotency key, and as many attempts
-- as a new job. Those before stay known.
--
-- USES  _replaying
-- KEYS  1 the partition's prefix
-- ARGV  1 id   then of its rule as app/queue/flow_parameters.py: 2 max_wait_ms   3 max_attempts   4 result_ttl_ms
--       5 dead_letter_ttl_ms   6 max_depth   7 max_flow_bytes   8 interval_us   9 priority   10 revision   11 json   12 pace
--       13 rule id
-- RETURN 1, 0 if it is no dead letter (any more), -1 where there is no such job, -2 where it is another rule's,
--        -3 where its request is nowhere any more
-- COST  O(log n)

local id, rule, rule_id = ARGV[1], rule_at(2), ARGV[13]
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
local request = request_of_dead(id, dead)
if not request then
  return -3
end
replay_job(id, dead, request, rule, now_us())
return 1
