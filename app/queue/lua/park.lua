-- Parks a flow whose rule is paused: it accepts jobs and is not due until its rule changes.
--
-- USES  _flows
-- KEYS  1 the partition's prefix
-- ARGV  1 flow   2 token of the flow, or of the ring that it is in   3 revision of the paused rule
-- RETURN 1 parked, 0 it is looked at again soon: the caller does not know that the rule was resumed, or lost the flow
-- COST  O(log n)

local flow, token, revision = ARGV[1], ARGV[2], ARGV[3]
local key = flow_key(flow)
local own_token, known_revision, ring = unpack(call('HMGET', key, 'token', 'revision', 'ring'))
local holds = own_token == token or ring and call('HGET', flow_key('~' .. ring), 'token') == token
if not holds then
  return 0
end
rest(flow)
call('HDEL', key, 'token', 'held', 'next')
local is_resumed = call('HGET', rule_key(rule_of(flow)), 'paused') == '0'
if is_resumed or tonumber(revision) < tonumber(known_revision) then
  call('ZADD', due_key(flow), int(now_us() + 100000), flow)
  return 0
end
call('HSET', key, 'parked', revision)
return 1
