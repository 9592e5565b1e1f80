-- Forget a dead letter, and all that is kept of it.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, 0 if it is no dead letter, -1 where there is no such job

local id = ARGV[1]
local key = job_key(id)
local meta = read_meta(id)
if not meta then
  redis.call('ZREM', P .. 'dead', id)
  return -1
end
if redis.call('HGET', key, 'status') ~= 'failed' then
  return 0
end
local idem = redis.call('HGET', key, 'idem')
if idem then
  redis.call('DEL', P .. 'idem:' .. idem)
end
redis.call('ZREM', P .. 'dead', id)
redis.call('ZREM', P .. 'owner:' .. meta.owner, id)
redis.call('DEL', key)
return 1
