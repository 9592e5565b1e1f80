-- Parks a flow that is paused, by its rule or by itself: it accepts jobs and is not due until its rule, or what operators
-- have set for it, changes.
--
-- USES  _rings
-- KEYS  1 the partition's prefix
-- ARGV  1 flow   2 token of the flow, or of the ring that it is in   3 revision of the rule
--       4 the version of the flows' settings by which it is paused by itself; '' where its rule is paused
-- RETURN 1 parked, 0 it is looked at again soon: the caller does not know that it was resumed, or lost the flow
-- COST  O(log n)

local flow, token, revision, version = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = flow_key(flow)
local known_revision, ring = unpack(call('HMGET', key, 'revision', 'ring'))
local holds = held_priority(call('GET', held_key(flow)), token)
  or ring and held_priority(call('GET', held_key('~' .. ring)), token)
if not holds then
  return 0
end
rest(flow)
end_flow_lease(flow)
local is_behind_others
if version ~= '' then
  is_behind_others = tonumber(version) < tonumber(call('GET', P .. 'settings_applied') or 0)
else
  local is_resumed = call('HGET', rule_key(rule_of(flow)), 'paused') == '0'
  is_behind_others = is_resumed or tonumber(revision) < tonumber(known_revision)
end
if is_behind_others then
  call('ZADD', due_key(flow), int(now_us() + 100000), flow)
  return 0
end
call('HSET', key, 'parked', version ~= '' and 'flow' or 'rule')
return 1
