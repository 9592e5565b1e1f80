-- Keep the leases of jobs that take long: their time in the pending list begins anew.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 consumer, then for each job two: id, lease
-- RETURN how many leases were kept; not those that someone else has meanwhile

local kept = 0
for i = 2, #ARGV, 2 do
  local meta = read_meta(ARGV[i])
  if meta and meta.lease == ARGV[i + 1] then
    call('XCLAIM', P .. 'jobs', 'workers', ARGV[1], 0, meta.stream_id, 'JUSTID')
    kept = kept + 1
  end
end
return kept
