-- Forgets the next dead letters that a filter finds, the oldest first: one batch of long work.
--
-- USES  _dead_letters _batches
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 descriptor   3 code of the error   4 status of the last answer ('' for any)
--       5 since, 6 until: times of failure (microseconds)   7 the time of failure and   8 the id to go on after, '' for the first
--       9 look: how many to look at   10 limit: how many to forget   11 id of the operation   12 number of the batch
-- RETURN {number of the batch that was done last, how many were forgotten, how many were gone already, how many were looked at,
--         1 if there may be more, the time of failure and the id to go on after, ''}
-- COST  O(log n) a dead letter looked at, 100 a call at most

local filter, after_us, after_id, look, limit = filter_at(1), ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local operation, number = ARGV[11], tonumber(ARGV[12])

local known = reply_of_batch(operation, number)
if known then
  return known
end

local found, more = oldest_behind(filter, after_us, after_id, look)
local done, gone, looked = 0, 0, 0
for at = 1, #found, 2 do
  if done == limit then
    more = true
    break
  end
  local id = found[at]
  local job = read_job(id)
  if not job then
    call('ZREM', DEAD, id)
    gone = gone + 1
  elseif is_wanted(job, filter) then
    forget_dead_letter(id, job)
    done = done + 1
  end
  looked, after_us, after_id = looked + 1, found[at + 1], id
end
return keep_batch(operation, { number, done, gone, looked, more and 1 or 0, after_us, after_id, '' })
