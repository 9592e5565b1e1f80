-- Gives back flows and rings that the caller took, to be due again after a time. All jobs of a flow that it leased were
-- sent or have returned.
--
-- USES  _rings
-- KEYS  1 the partition's prefix
-- ARGV  for each unit six: name, token, wait_us, the counter that the flow waits for (or ''), interval_us of that counter,
--       the revision of its rule that the caller knows (or '')
-- RETURN for each unit 1, or 0 where another worker took it
-- COST  O(log n) a unit, 128 units a call at most

local now = now_us()
local reply, due, due_no_more = {}, {}, {}

local function give_back_ring(unit, at, interval)
  call('HSET', flow_key(unit), 'interval', interval)
  call('ZADD', due_key(unit), int(at), unit)
end

local function give_back_flow(flow, priority, hold_until, at, counter, interval)
  if call('EXISTS', fifo_key(flow)) == 0 then
    push(list_of(due_no_more, priority), flow)
  elseif hold_until > at then
    push(list_of(due, priority), int(hold_until), flow)
  elseif not wait_for(flow, counter, at, interval) then
    push(list_of(due, priority), int(at), flow)
  end
end

for at = 1, #ARGV, 6 do
  local unit, token, wait_us, counter, interval, revision = unpack(ARGV, at, at + 5)
  local key = flow_key(unit)
  local of_unit, unsent, rescheduled, priority, hold_until = unpack(
    call('HMGET', key, 'token', 'unsent', 'rescheduled', 'priority', 'hold_until'))
  local is_held = of_unit == token
  if is_held then
    counter = counter ~= '' and counter
    local goes_on = believable_due(counter, now + tonumber(wait_us), now, revision, rescheduled)
    call('HDEL', key, 'token', 'held', 'next', 'unsent', rescheduled and 'rescheduled' or 'unsent')
    if is_ring(unit) then
      give_back_ring(unit, goes_on, interval)
    else
      give_back_flow(unit, priority or '0', tonumber(hold_until or 0), goes_on, counter, interval)
    end
  elseif unsent and find(unsent, token, 1, true) == 1 then
    call('HDEL', key, 'unsent')
  end
  reply[#reply + 1] = is_held and 1 or 0
end
update_due(due, due_no_more)
return reply
