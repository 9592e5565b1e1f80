-- Requests fetched from Kafka take their places in one flow, in its order. What left the flow meanwhile, or was put in by
-- someone else, is skipped.
--
-- USES  _ending _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 flow, then for each job three: id, 1 if Kafka still has its request, request
-- RETURN {how many were put in, how many ended as dead letters because their request is gone}

local flow = ARGV[1]
local now = now_us()
local loaded, lost = 0, 0
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  local first = call('LINDEX', spilled_key(flow), 0)
  if first and string.match(first, '^%S+') == id then
    call('LPOP', spilled_key(flow))
    local meta = read_meta(id)
    if ARGV[i + 1] == '1' then
      put_in(id, meta, ARGV[i + 2], now)
      loaded = loaded + 1
    else
      finish(id, meta, 'failed', now, { 'code', 'expired', 'message', 'Kafka no longer has its request.' })
      lost = lost + 1
    end
  end
end
if call('LLEN', spilled_key(flow)) == 0 then
  call('ZREM', P .. 'spilled', flow)
else
  call('ZADD', P .. 'spilled', int(now), flow)
end
return { loaded, lost }
