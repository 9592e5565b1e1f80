-- Cancels those of some jobs that have not been sent: one batch of long work, or the part of it in this partition.
--
-- USES  _canceling _batches
-- KEYS  1 the partition's prefix
-- ARGV  1 id of the operation   2 number of the batch   3 next: where the batch after it begins   then the ids
-- RETURN {number of the batch that was done last, how many were canceled, how many were canceled, sent or gone before, next}
-- COST  O(log n) a job, 25 jobs a call at most

local operation, number, following = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local known = reply_of_batch(operation, number)
if known then
  return known
end

local ending, ended, canceled = new_ending(now_us()), {}, 0
for at = 4, #ARGV do
  if cancel_job(ending, ended, ARGV[at]) == 1 then
    canceled = canceled + 1
  end
end
write_ends(ending)
return keep_batch(operation, { number, canceled, #ARGV - 3 - canceled, following })
