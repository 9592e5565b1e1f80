-- A rule changed: its flows are worth a look now, whatever they waited for. One page of them.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 cursor   3 count   4 revision ('' for a rule that is gone)   5 priority   6 rule_json   7 interval_us
-- RETURN {next cursor, flows seen}

local now = now_us()
local page = redis.call('SSCAN', P .. 'rule:' .. ARGV[1] .. ':flows', ARGV[2], 'COUNT', ARGV[3])
for _, flow in ipairs(page[2]) do
  local key = flow_key(flow)
  local revision, held, priority = unpack(redis.call('HMGET', key, 'revision', 'held', 'priority'))
  if ARGV[4] ~= '' and revision and tonumber(ARGV[4]) >= tonumber(revision) then
    if priority ~= ARGV[5] then
      local due = redis.call('ZSCORE', due_key(flow), flow)
      redis.call('ZREM', due_key(flow), flow)
      redis.call('HSET', key, 'priority', ARGV[5])
      redis.call('ZADD', P .. 'priorities', ARGV[5], ARGV[5])
      if due then
        redis.call('ZADD', due_key(flow), due, flow)
      end
    end
    redis.call('HSET', key, 'revision', ARGV[4], 'rule_json', ARGV[6], 'interval', ARGV[7])
  end
  redis.call('HDEL', key, 'parked')
  -- Who holds a flow reads the rule again before its next slots.
  if redis.call('LLEN', list_key(flow)) > 0 and tonumber(held or 0) < now then
    make_due(flow, now, false)
  end
end
if #page[2] > 0 then
  redis.call('PUBLISH', P .. 'wake', '')
end
return { page[1], #page[2] }
