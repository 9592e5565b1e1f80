-- Mark a full copy as complete: revisions up to the snapshot's are old from now on, and its tombstones are removed.
--
-- KEYS  1 rules:state   2 rules:version   3 rules:floor   4 rules:epoch
-- ARGV  1 the snapshot's revision   2 the channel   3 the epoch in which the copy began
--       then for each tombstone two: rule id, the value that was read
-- RETURN the version; nil if the cache was emptied since the copy began, so that it may lack rules
-- COST   O(tombstones)

local STATE, VERSION, FLOOR, EPOCH = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REVISION, CHANNEL, COPY_EPOCH, FIRST_TOMBSTONE = ARGV[1], ARGV[2], ARGV[3], 4

if redis.call('GET', EPOCH) ~= COPY_EPOCH then
  return nil
end

local floor = tonumber(redis.call('GET', FLOOR) or 0)
if tonumber(REVISION) > floor then
  redis.call('SET', FLOOR, REVISION)
end
for i = FIRST_TOMBSTONE, #ARGV, 2 do
  local rule_id, read = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', STATE, rule_id) == read then
    redis.call('HDEL', STATE, rule_id)
  end
end
if redis.call('EXISTS', VERSION) == 0 then
  -- The first version is the time, on the scale of revisions (2^20 a second), so that it exceeds every version that the
  -- cache had before it was emptied.
  local time = redis.call('TIME')
  local version = string.format('%.0f', math.max(tonumber(REVISION), time[1] * 1048576 + math.floor(time[2] * 1.048576)))
  redis.call('SET', VERSION, version)
  redis.call('PUBLISH', CHANNEL, '{"version":' .. version .. ',"buckets":[],"rules":[]}')
end
return redis.call('GET', VERSION)
