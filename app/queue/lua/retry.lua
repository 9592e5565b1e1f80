-- A job backs off: out of the pending list, which holds only what is in flight, until its time to return.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 id   2 lease   3 delay_us   4 1: the attempt is given back   5 code   6 message
-- RETURN 1, or 0 if the lease is no longer held

local id = ARGV[1]
local key = job_key(id)
local meta = read_meta(id)
if not meta or meta.lease ~= ARGV[2] then
  return 0
end
local at = math.min(now_us() + tonumber(ARGV[3]), meta.deadline * 1000) -- nothing waits past its time
call('XACK', P .. 'jobs', 'workers', meta.stream_id)
call('HDEL', key, 'lease')
call('HSET', key, 'status', 'retrying', 'retry_at', int(at), 'code', ARGV[5], 'message', ARGV[6])
if ARGV[4] == '1' then
  call('HINCRBY', key, 'attempts', -1)
end
call('ZADD', P .. 'retry', int(at), id)
call('PUBLISH', P .. 'wake', '')
return 1
