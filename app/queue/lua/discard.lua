-- Forgets a dead letter, and all that is kept of it.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, 0 if it is no dead letter, -1 where there is no such job
-- COST  O(log n)

local id = ARGV[1]
local job = read_job(id)
if not job then
  call('ZREM', P .. 'dead', id)
  return -1
end
if job.status ~= 'failed' then
  return 0
end
if job.idem then
  call('DEL', P .. 'idem:' .. job.idem)
end
call('ZREM', P .. 'dead', id)
call('ZREM', P .. 'owner:' .. job.owner, id)
call('DEL', job_key(id))
return 1
