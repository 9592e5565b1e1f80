-- Forget a dead letter, and all that is kept of it.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, 0 if it is no dead letter, -1 where there is no such job

local id = ARGV[1]
local key = job_key(id)
local meta = read_meta(id)
if not meta then
  call('ZREM', P .. 'dead', id)
  return -1
end
if call('HGET', key, 'status') ~= 'failed' then
  return 0
end
if meta.idem then
  call('DEL', P .. 'idem:' .. meta.idem)
end
call('ZREM', P .. 'dead', id)
call('ZREM', P .. 'owner:' .. meta.owner, id)
call('DEL', key)
return 1
