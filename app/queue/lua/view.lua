-- A job as its owner sees it; reads only.
--
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
local status, attempts, started, finished, code, message, answer, retry_at = unpack(
  redis.call('HMGET', key, 'status', 'attempts', 'started', 'finished', 'code', 'message', 'answer', 'retry_at'))
local now = now_us()
local position, eta = 0, -1
if status == 'queued' or status == 'retrying' then
  local index = redis.call('LPOS', list_key(meta.flow), meta.entry)
  if index then
    position = index + 1
    local due = redis.call('ZSCORE', due_key(meta.flow), meta.flow)
    if due then
      eta = math.max(0, due - now) + index * tonumber(redis.call('HGET', rule_key(rule_of(meta.flow)), 'interval'))
    end
  elseif retry_at then
    eta = math.max(0, retry_at - now)
  end
end
return { status, meta.flow, meta.owner, meta.submitted, attempts or '0', started or '', finished or '', code or '',
  message or '', answer or '', position, math.ceil(eta), redis.call('PTTL', key) }
