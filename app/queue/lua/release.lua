-- Jobs whose slot was missed go back to the head of their flow, in order; their attempts were none.
--
-- USES  _returning
-- KEYS  1 the partition's prefix
-- ARGV  1 lease, then the ids in the order in which they were to be sent
-- RETURN how many went back; not those that someone else has meanwhile

local now = now_us()
local returned = 0
for i = #ARGV, 2, -1 do
  local id = ARGV[i]
  local key = job_key(id)
  local meta = read_meta(id)
  if meta and meta.lease == ARGV[1] then
    call('XACK', P .. 'jobs', 'workers', meta.stream_id)
    local attempts = call('HINCRBY', key, 'attempts', -1)
    call('HSET', key, 'status', attempts == 0 and 'queued' or 'retrying')
    if attempts == 0 then
      call('HDEL', key, 'started')
    end
    return_to_head(id, meta, now)
    returned = returned + 1
  end
end
return returned
