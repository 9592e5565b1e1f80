-- What flows and rings wait for has come earlier than they knew: those that no worker holds are due now.
--
-- USES  _flows
-- KEYS  1 the partition's prefix
-- ARGV  the flows and rings
-- RETURN how many are due now
-- COST  O(log n) a unit, 128 units a call at most

local now, due = now_us(), 0
for _, unit in ipairs(ARGV) do
  if not lease_of(unit) then
    local hold_until = call('HGET', flow_key(unit), 'hold_until')
    due = due + call('ZADD', due_key(unit), 'XX', 'LT', 'CH', int(math.max(now, hold_until or 0)), unit)
  end
end
if due > 0 then
  call('PUBLISH', P .. 'wake', '')
end
return due
