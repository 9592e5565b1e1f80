-- Gives back flows and rings that the caller took, to be due again after a time. All jobs of a flow that it leased were
-- sent or have returned.
--
-- USES  _flows
-- KEYS  1 the partition's prefix
-- ARGV  for each unit six: name, token, wait_us, the counter that the flow waits for (or ''), interval_us of that counter,
--       the revision of its rule that the caller knows (or '')
-- RETURN for each unit 1, or 0 where another worker took it
-- COST  O(log n) a unit, 128 units a call at most

local now = now_us()
local reply = {}

local function give_back(unit, due, counter, interval)
  call('HDEL', flow_key(unit), 'token', 'held', 'next', 'unsent', 'rescheduled')
  if sub(unit, 1, 1) == '~' then
    call('HSET', flow_key(unit), 'interval', interval)
    call('ZADD', due_key(unit), int(due), unit)
    return
  end
  if call('EXISTS', fifo_key(unit)) == 0 then
    call('ZREM', due_key(unit), unit)
    return
  end
  local hold_until = tonumber(call('HGET', flow_key(unit), 'hold_until') or 0)
  if hold_until > due then
    call('ZADD', due_key(unit), int(hold_until), unit)
    return
  end
  wait_for(unit, counter ~= '' and counter, due, interval)
end

for at = 1, #ARGV, 6 do
  local unit, token, wait_us, counter, interval, revision = unpack(ARGV, at, at + 5)
  local of_unit, unsent, rescheduled = unpack(call('HMGET', flow_key(unit), 'token', 'unsent', 'rescheduled'))
  local is_held = of_unit == token
  if is_held then
    local due = believable_due(counter ~= '' and counter, now + tonumber(wait_us), now, revision, rescheduled)
    give_back(unit, due, counter, interval)
  elseif unsent and find(unsent, token, 1, true) == 1 then
    call('HDEL', flow_key(unit), 'unsent')
  end
  reply[#reply + 1] = is_held and 1 or 0
end
return reply
