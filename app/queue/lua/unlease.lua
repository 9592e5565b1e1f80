-- Jobs whose slot was missed go back to the head of their flow, in order; their attempts were none.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 lease, then the ids in the order in which they were to be sent
-- RETURN how many went back; not those that someone else has meanwhile

local now = now_us()
local returned = 0
for i = #ARGV, 2, -1 do
  local id = ARGV[i]
  local key = job_key(id)
  if redis.call('HGET', key, 'lease') == ARGV[1] then
    local meta = read_meta(id)
    redis.call('XACK', P .. 'jobs', 'workers', meta.stream_id)
    local attempts = redis.call('HINCRBY', key, 'attempts', -1)
    redis.call('HSET', key, 'status', attempts == 0 and 'queued' or 'retrying')
    if attempts == 0 then
      redis.call('HDEL', key, 'started')
    end
    return_to_head(id, meta, now)
    returned = returned + 1
  end
end
return returned
