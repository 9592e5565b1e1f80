-- Take flows that are due: each is pushed a flow-lease ahead and gets a new token, without which no one leases its jobs.
--
-- USES  _returning
-- KEYS  1 the partition's prefix
-- ARGV  1 max_flows   2 flow_lease_us   3 token, unique to this call   4 n: how far to look into a flow
-- RETURN {wait_us until something is due, -1 for never, then for each flow: flow, rule id, run, charges, depth, late_us}
--        late_us: for how long it had been due   run: how many jobs at the head cost the same, at most n

local now = now_us()
local left = tonumber(ARGV[1])
local n = tonumber(ARGV[4])

return_retries(now)

local reply = { 0 }
local wait = -1
local function sooner(score)
  if score then
    local from_now = math.max(0, score - now)
    wait = wait < 0 and from_now or math.min(wait, from_now)
  end
end

for _, priority in ipairs(call('ZREVRANGE', P .. 'priorities', 0, -1)) do
  local key = P .. 'due:' .. priority
  local flows = left > 0 and call('ZRANGEBYSCORE', key, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0, left) or {}
  for at = 1, #flows, 2 do
    local flow, due = flows[at], tonumber(flows[at + 1])
    local run, charges = peek_same_cost_prefix(flow, n)
    if run == 0 then
      call('ZREM', key, flow)
    else
      left = left - 1
      local held = int(now + tonumber(ARGV[2]))
      call('ZADD', key, held, flow)
      call('HSET', flow_key(flow), 'token', ARGV[3], 'held', held)
      reply[#reply + 1] = flow
      reply[#reply + 1] = rule_of(flow)
      reply[#reply + 1] = run
      reply[#reply + 1] = charges
      reply[#reply + 1] = call('LLEN', list_key(flow))
      reply[#reply + 1] = math.floor(now - due)
    end
  end
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  sooner(first[2])
end
sooner(call('ZRANGE', P .. 'retry', 0, 0, 'WITHSCORES')[2])
reply[1] = math.ceil(wait)
return reply
