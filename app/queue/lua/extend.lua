-- Keeps the leases of jobs that take long: their time in the pending list begins anew.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 consumer, then for each job two: id, lease
-- RETURN how many leases were kept; not those that someone else has meanwhile
-- COST  O(1) a job, 100 jobs a call at most

local consumer = ARGV[1]
local kept = 0
for at = 2, #ARGV, 2 do
  local job = read_job(ARGV[at])
  if job and job.lease == ARGV[at + 1] then
    call('XCLAIM', P .. 'jobs', 'workers', consumer, 0, job.stream_id, 'JUSTID')
    kept = kept + 1
  end
end
return kept
