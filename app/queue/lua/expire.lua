-- Jobs that have waited for too long end, wherever they wait: in a paused flow, or for app servers that are away.
--
-- USES  _flows _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 look: how many jobs to look at
-- RETURN {how many ended, 1 if there may be more now}
-- COST  O(log n) a job, 25 jobs a call at most; returns at most 50 jobs from backoff

local look = tonumber(ARGV[1])
local now = now_us()
local now_ms = now / 1000
local more = return_retries(now) and 1 or 0
local ending = new_ending(now)

-- Looks at the first jobs that wait in one place; returns the earliest deadline of those that stay, nil where all end.
-- Where all jobs may wait for as long as each other, the first that stays has it.
local function look_at(key, mixed)
  local earliest
  for _, member in ipairs(call('ZRANGE', key, 0, look - 1)) do
    local id = parse_member(member)
    local job = read_job(id)
    look = look - 1
    if job.deadline < now_ms then
      expire_job(ending, id, job)
      leave_flow(id, job)
    else
      earliest = math.min(earliest or job.deadline, job.deadline)
      if not mixed then
        break
      end
    end
  end
  return earliest
end

local function expire_in(flow)
  local mixed = call('HEXISTS', flow_key(flow), 'mixed_waits') == 1
  local earliest
  for _, key in ipairs({ fifo_key(flow), spilled_key(flow), awaiting_key(flow) }) do
    if look > 0 then
      local found = look_at(key, mixed)
      earliest = math.min(earliest or found or math.huge, found or math.huge)
    end
  end
  if waiting(flow) == 0 then
    call('ZREM', P .. 'expiry', flow)
  elseif earliest and earliest < math.huge then
    call('ZADD', P .. 'expiry', int(earliest), flow)
  end
end

local flows = call('ZRANGEBYSCORE', P .. 'expiry', '-inf', int(now_ms), 'LIMIT', 0, look)
for _, flow in ipairs(flows) do
  if look <= 0 then
    more = 1
    break
  end
  expire_in(flow)
end
write_ends(ending)
prune_after(P .. 'dead', 16, now)
return { #ending.ids, #ending.ids > 0 and 1 or more }
