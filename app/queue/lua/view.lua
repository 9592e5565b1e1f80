-- A job as its owner sees it; reads only.
--
-- USES  _flows
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN {} or {status, flow, owner, submitted, attempts, started, finished, code, message, answer,
--        position (0 for none), eta_us (-1 for not known), ttl_ms (-1 for none)}

local id = ARGV[1]
local key = job_key(id)
local meta = read_meta(id)
if not meta then
  return {}
end
local status, attempts, started, finished, code, message, answer, retry_at, at = unpack(
  call('HMGET', key, 'status', 'attempts', 'started', 'finished', 'code', 'message', 'answer', 'retry_at', 'at'))
local now = now_us()
local position, eta = 0, -1

-- How many jobs are before it in its flow, wherever it waits; nil for one that does not.
local function index_of()
  if meta.stream_id then
    return call('LPOS', list_key(meta.flow), write_entry(id, meta.stream_id, meta.charges))
  end
  local before = call('LLEN', list_key(meta.flow))
  if at ~= '-' then
    local index = call('LPOS', spilled_key(meta.flow), id .. ' ' .. at)
    return index and before + index
  end
  local rank = call('ZRANK', awaiting_key(meta.flow), id)
  return rank and before + call('LLEN', spilled_key(meta.flow)) + rank
end

if status == 'queued' or status == 'retrying' then
  local index = index_of()
  if index then
    position = index + 1
    local due = call('ZSCORE', due_key(meta.flow), meta.flow)
    if not due and not meta.stream_id and call('HEXISTS', flow_key(meta.flow), 'parked') == 0 then
      due = now -- it is, as soon as it is here
    end
    if due then
      eta = math.max(0, due - now) + index * tonumber(call('HGET', rule_key(rule_of(meta.flow)), 'interval'))
    end
  elseif retry_at then
    eta = math.max(0, retry_at - now)
  end
end
return { status, meta.flow, meta.owner, meta.submitted, attempts or '0', started or '', finished or '', code or '',
  message or '', answer or '', position, math.ceil(eta), call('PTTL', key) }
