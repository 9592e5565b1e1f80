-- All rules of a snapshot are published: nothing older counts from now on, and tombstones that it covers can go.
--
-- KEYS  1 rules:state   2 rules:version   3 rules:floor   4 rules:epoch
-- ARGV  1 the snapshot's revision   2 the channel   3 the epoch in which the copy began
--       then the rule ids and what was read of each tombstone, in pairs
-- RETURN the version; nil where the cache was emptied since the copy began, so that it may not be complete

if redis.call('GET', KEYS[4]) ~= ARGV[3] then
  return nil
end

local floor = tonumber(redis.call('GET', KEYS[3]) or 0)
if tonumber(ARGV[1]) > floor then
  redis.call('SET', KEYS[3], ARGV[1])
end
for i = 4, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  -- Begun at the time, on the scale of revisions, it is above any that an emptied cache had counted to.
  local time = redis.call('TIME')
  local version = string.format('%.0f', math.max(tonumber(ARGV[1]), time[1] * 1048576 + math.floor(time[2] * 1.048576)))
  redis.call('SET', KEYS[2], version)
  redis.call('PUBLISH', ARGV[2], '{"version":' .. version .. ',"buckets":[],"rules":[]}')
end
return redis.call('GET', KEYS[2])
