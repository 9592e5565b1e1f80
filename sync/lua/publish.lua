-- Write changed rules: all of them, or none if the cache has changed since it was read.
--
-- KEYS  1 rules:state   2 rules:index   3 rules:version   4 rules:floor   5 rules:buckets   then the buckets
-- ARGV  1 the floor that was read ('' for none)   2 the channel
--       3 the buckets and 4 the rule ids that the message names, both JSON lists
--       5 number of states   6 number of index changes
--       then for each bucket three: the content that was read, the new content ('' for none), its digest
--       then for each state three: rule id, the value that was read, the new value
--       then for each index change two: field, by how much it changes
-- RETURN 1, or 0 if anything differs from what was read
-- COST   O(buckets + states + index changes)

local STATE, INDEX, VERSION, FLOOR, DIGESTS, FIRST_BUCKET = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], 6
local READ_FLOOR, CHANNEL, CHANGED_BUCKETS, CHANGED_RULES = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local BUCKETS, STATES, INDEX_CHANGES = #KEYS - 5, tonumber(ARGV[5]), tonumber(ARGV[6])
local BUCKETS_AT = 7
local STATES_AT = BUCKETS_AT + 3 * BUCKETS
local INDEX_AT = STATES_AT + 3 * STATES

if (redis.call('GET', FLOOR) or '') ~= READ_FLOOR then
  return 0
end
for i = 0, BUCKETS - 1 do
  local read = ARGV[BUCKETS_AT + 3 * i]
  if (redis.call('GET', KEYS[FIRST_BUCKET + i]) or '') ~= read then
    return 0
  end
end
for i = 0, STATES - 1 do
  local at = STATES_AT + 3 * i
  local rule_id, read = ARGV[at], ARGV[at + 1]
  if (redis.call('HGET', STATE, rule_id) or '') ~= read then
    return 0
  end
end

for i = 0, BUCKETS - 1 do
  local bucket, new, digest = KEYS[FIRST_BUCKET + i], ARGV[BUCKETS_AT + 3 * i + 1], ARGV[BUCKETS_AT + 3 * i + 2]
  if new == '' then
    redis.call('DEL', bucket)
    redis.call('HDEL', DIGESTS, bucket)
  else
    redis.call('SET', bucket, new)
    redis.call('HSET', DIGESTS, bucket, digest)
  end
end
for i = 0, STATES - 1 do
  local at = STATES_AT + 3 * i
  local rule_id, new = ARGV[at], ARGV[at + 2]
  redis.call('HSET', STATE, rule_id, new)
end
for i = 0, INDEX_CHANGES - 1 do
  local at = INDEX_AT + 2 * i
  local field, change = ARGV[at], ARGV[at + 1]
  if redis.call('HINCRBY', INDEX, field, change) <= 0 then
    redis.call('HDEL', INDEX, field)
  end
end
-- Without a version the cache is not complete yet: complete.lua sets the version and announces it.
if BUCKETS > 0 and redis.call('EXISTS', VERSION) == 1 then
  local version = string.format('%.0f', redis.call('INCR', VERSION))
  local lists = '"buckets":' .. CHANGED_BUCKETS .. ',"rules":' .. CHANGED_RULES
  redis.call('PUBLISH', CHANNEL, '{"version":' .. version .. ',' .. lists .. '}')
end
return 1
