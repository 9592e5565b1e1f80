-- Keep the leases of jobs that take long: their time in the pending list begins anew.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 consumer, then for each job two: id, lease
-- RETURN how many leases were kept; not those that someone else has meanwhile

local kept = 0
for i = 2, #ARGV, 2 do
  if redis.call('HGET', job_key(ARGV[i]), 'lease') == ARGV[i + 1] then
    redis.call('XCLAIM', P .. 'jobs', 'workers', ARGV[1], 0, read_meta(ARGV[i]).stream_id, 'JUSTID')
    kept = kept + 1
  end
end
return kept
