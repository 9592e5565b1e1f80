-- Jobs whose worker went away return to the head of their flow in the order of the stream, or end as dead letters.
--
-- USES  _returning _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 consumer   2 min_idle_ms   3 cursor   4 count   5 after how many idle ms a consumer without jobs is gone
-- RETURN {next cursor, returned, dead}

local now = now_us()
local reply = call('XAUTOCLAIM', P .. 'jobs', 'workers', ARGV[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])
local returned, dead = 0, 0
local entries = reply[2]
for i = #entries, 1, -1 do
  local found = entries[i]
  if found then -- before Redis 7 a deleted entry is reported as nothing
    local stream_id, id = found[1], found[2] and found[2][2]
    local status, attempts = unpack(call('HMGET', job_key(id or ''), 'status', 'attempts'))
    call('XACK', P .. 'jobs', 'workers', stream_id)
    if not status then
      call('XDEL', P .. 'jobs', stream_id)
    elseif status == 'running' then
      local meta = read_meta(id)
      if tonumber(attempts) >= meta.max_attempts then
        finish(id, meta, 'failed', now, { 'code', 'attempts_exhausted', 'message', 'Its worker went away at the last attempt.' })
        dead = dead + 1
      else
        call('HSET', job_key(id), 'status', 'retrying')
        return_to_head(id, meta, now)
        returned = returned + 1
      end
    end
  end
end

-- A consumer is a worker's name; those of workers that went away would pile up.
if reply[1] == '0-0' then
  for _, fields in ipairs(call('XINFO', 'CONSUMERS', P .. 'jobs', 'workers')) do
    local name, pending, idle = fields[2], fields[4], fields[6]
    if pending == 0 and idle >= tonumber(ARGV[5]) and name ~= ARGV[1] then
      call('XGROUP', 'DELCONSUMER', P .. 'jobs', 'workers', name)
    end
  end
end
return { reply[1], returned, dead }
