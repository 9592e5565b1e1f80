-- Write rules, all of them or, where anything changed meanwhile, none.
--
-- KEYS  1 rules:state   2 rules:index   3 rules:version   4 rules:floor   then the buckets
-- ARGV  1 the floor that was read ('' for none)   2 the channel
--       3 the buckets and 4 the rule ids that the message names, both JSON lists
--       5 number of states   6 number of index changes
--       then for each bucket two: what was read, what to write ('' for nothing)
--       then for each state three: rule id, what was read, what to write
--       then for each index change two: field, by how much
-- RETURN 1, or 0 where something is not as it was read

local STATES, INDEX_CHANGES, FIRST = tonumber(ARGV[5]), tonumber(ARGV[6]), 7
local buckets = #KEYS - 4
local states_at = FIRST + 2 * buckets
local index_at = states_at + 3 * STATES

if (redis.call('GET', KEYS[4]) or '') ~= ARGV[1] then
  return 0
end
for i = 0, buckets - 1 do
  if (redis.call('GET', KEYS[5 + i]) or '') ~= ARGV[FIRST + 2 * i] then
    return 0
  end
end
for i = 0, STATES - 1 do
  local at = states_at + 3 * i
  if (redis.call('HGET', KEYS[1], ARGV[at]) or '') ~= ARGV[at + 1] then
    return 0
  end
end

for i = 0, buckets - 1 do
  local new = ARGV[FIRST + 2 * i + 1]
  if new == '' then
    redis.call('DEL', KEYS[5 + i])
  else
    redis.call('SET', KEYS[5 + i], new)
  end
end
for i = 0, STATES - 1 do
  local at = states_at + 3 * i
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
end
for i = 0, INDEX_CHANGES - 1 do
  local field = ARGV[index_at + 2 * i]
  if redis.call('HINCRBY', KEYS[2], field, ARGV[index_at + 2 * i + 1]) <= 0 then
    redis.call('HDEL', KEYS[2], field)
  end
end
-- Without a version the rules are not yet complete: whoever completes them says so (complete.lua).
if buckets > 0 and redis.call('EXISTS', KEYS[3]) == 1 then
  local version = string.format('%.0f', redis.call('INCR', KEYS[3]))
  redis.call('PUBLISH', ARGV[2], '{"version":' .. version .. ',"buckets":' .. ARGV[3] .. ',"rules":' .. ARGV[4] .. '}')
end
return 1
