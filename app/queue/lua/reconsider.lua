-- What operators have set for these flows has changed: they are worth a look now, also where they are parked.
--
-- USES  _hurrying
-- KEYS  1 the partition's prefix
-- ARGV  1 the version of the settings that the caller knows   2 ... the flows
-- RETURN how many of them there are
-- COST  O(log n) a flow, 100 flows a call at most

local version, now, found = tonumber(ARGV[1]), now_us(), 0
if tonumber(call('GET', P .. 'settings_applied') or 0) < version then
  call('SET', P .. 'settings_applied', version)
end
for at = 2, #ARGV do
  local flow = ARGV[at]
  if call('EXISTS', flow_key(flow)) == 1 then
    call('HDEL', flow_key(flow), 'parked', 'interval')
    hurry(flow, now, now)
    found = found + 1
  end
end
if found > 0 then
  call('PUBLISH', P .. 'wake', '')
end
return found
