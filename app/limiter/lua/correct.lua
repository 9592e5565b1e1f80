-- Correct what requests have cost, once their answers say it: charge more units, or give some back.
--
-- What is charged may leave more owed than a burst, which delays whatever follows. What is given back leaves nothing owed at
-- least. A batch that is sent again, because its reply was lost, is applied once.
--
-- USES   _acquiring
-- KEYS   1 where the number of the sender's last batch is kept; then the counter of each correction
-- ARGV   1 batch   its number, which is higher than those of the sender's batches before it
--        2 ttl_ms  for how long its number is kept: longer than the sender tries
--        then for each correction six:
--          algorithm, interval_us, units, window, revision (as in acquire.lua), charged: how many units more; less if negative
-- RETURN 1 if the batch was applied, 0 if it had been before
-- COST   O(1) a correction

local HEADER, PER_CORRECTION = 2, 6

local batch, ttl_ms = ARGV[1], ARGV[2]

local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(batch) then
  return 0
end
redis.call('SET', KEYS[1], batch, 'PX', ttl_ms)

for i = 2, #KEYS do
  local first = HEADER + (i - 2) * PER_CORRECTION
  local quota = load_quota(
    KEYS[i], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], ARGV[first + 4], ARGV[first + 5], 0)
  if quota.algorithm.correct then
    quota.algorithm.correct(quota, tonumber(ARGV[first + 6]))
  end
  if quota.changed then
    save_quota(quota)
  end
end
return 1
