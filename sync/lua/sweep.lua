-- Remove buckets that rules:buckets does not name: they were left behind when it was lost.
--
-- KEYS  1 rules:buckets   then the buckets
-- RETURN how many were removed
-- COST   O(buckets)

local BUCKETS, FIRST_BUCKET = KEYS[1], 2

local removed = 0
for i = FIRST_BUCKET, #KEYS do
  if redis.call('HEXISTS', BUCKETS, KEYS[i]) == 0 then
    removed = removed + redis.call('UNLINK', KEYS[i])
  end
end
return removed
