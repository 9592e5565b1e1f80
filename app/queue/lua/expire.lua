-- Jobs that have waited for too long end, wherever they wait: in a paused flow, or for app servers that are away.
--
-- USES  _returning _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 how many flows at most   2 how far to look into a flow
-- RETURN {how many ended, 1 if there may be more now}

local now = now_us()
local now_ms = now / 1000
local look = tonumber(ARGV[2])
return_retries(now)

local ended, more = 0, 0
local flows = call('ZRANGEBYSCORE', P .. 'expiry', '-inf', int(now_ms), 'LIMIT', 0, ARGV[1])
for _, flow in ipairs(flows) do
  local next_ms
  local function look_at(id)
    local meta = read_meta(id)
    if meta.deadline < now_ms then
      leave(id, meta)
      finish(id, meta, 'failed', now, EXPIRED)
      ended = ended + 1
    else
      next_ms = math.min(next_ms or meta.deadline, meta.deadline)
    end
  end
  for _, key in ipairs({ list_key(flow), spilled_key(flow) }) do
    for _, entry in ipairs(call('LRANGE', key, 0, look - 1)) do
      look_at(string.match(entry, '^%S+'))
    end
  end
  for _, id in ipairs(call('ZRANGE', awaiting_key(flow), 0, look - 1)) do
    look_at(id)
  end
  if waiting(flow) == 0 then
    call('ZREM', P .. 'expiry', flow)
  elseif next_ms then
    call('ZADD', P .. 'expiry', int(next_ms), flow)
  else
    more = 1
  end
end
prune_after(P .. 'dead', 16, now)
return { ended, #flows == tonumber(ARGV[1]) and 1 or more }
