-- Forgets a dead letter, and all that is kept of it.
--
-- USES  _dead_letters
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN 1, 0 if it is no dead letter, -1 where there is no such job
-- COST  O(log n)

local id = ARGV[1]
local job = read_job(id)
if not job then
  call('ZREM', DEAD, id)
  return -1
end
if job.status ~= 'failed' then
  return 0
end
forget_dead_letter(id, job)
return 1
