-- Begin a full copy. If anything of what the cache keeps of the rules was lost, all of it is dropped and built anew:
-- without a version the rules are unavailable until the copy is complete.
--
-- KEYS  1 rules:epoch   2 rules:version   3 rules:floor   then the hashes: rules:state, rules:index, rules:buckets
-- ARGV  1 the epoch to begin if the last one has ended   2 the field of each hash that holds the epoch
-- RETURN the epoch, and 1 if it begins now, else 0
-- COST   O(1): what is dropped is freed in the background

local EPOCH, VERSION, FLOOR, FIRST_HASH = KEYS[1], KEYS[2], KEYS[3], 4
local NEW_EPOCH, FIELD = ARGV[1], ARGV[2]

local epoch = redis.call('GET', EPOCH)
local complete = epoch ~= false
for i = FIRST_HASH, #KEYS do
  complete = complete and redis.call('HGET', KEYS[i], FIELD) == epoch
end
if complete then
  return { epoch, 0 }
end
redis.call('UNLINK', VERSION, FLOOR)
redis.call('SET', EPOCH, NEW_EPOCH)
for i = FIRST_HASH, #KEYS do
  redis.call('UNLINK', KEYS[i])
  redis.call('HSET', KEYS[i], FIELD, NEW_EPOCH)
end
return { NEW_EPOCH, 1 }
