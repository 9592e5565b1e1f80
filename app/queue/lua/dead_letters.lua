-- Dead letters that a filter finds, the latest first, a page of them. Those whose record's time is over are forgotten.
--
-- USES  _dead_letters
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 descriptor   3 code of the error   4 status of the last answer ('' for any)
--       5 since, 6 until: times of failure (microseconds)
--       7 the time of failure and   8 the id that the page begins after, '' for the first
--       9 look: how many to look at   10 limit
-- RETURN {1 if there may be more, the time of failure and the id to go on after,
--         then for each: {id, flow, failed_us, attempts, code, message, answer}}
-- COST  O(log n) a dead letter looked at, 100 a call at most

local filter, after_us, after_id, look, limit = filter_at(1), ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])

local ending = after_id == '' and call('ZCOUNT', DEAD, '-inf', int(filter.upto)) or count_before(after_us, after_id)
local found = ending == 0 and {} or call('ZRANGE', DEAD, math.max(0, ending - look), ending - 1, 'WITHSCORES')
local reply = { ending > look and 1 or 0, after_us, after_id }
for at = #found - 1, 1, -2 do
  local id, failed = found[at], found[at + 1]
  if tonumber(failed) < filter.since then
    reply[1] = 0
    break
  end
  if #reply - 3 == limit then
    reply[1] = 1
    break
  end
  local job = read_job(id)
  if not job then
    call('ZREM', DEAD, id)
  elseif is_wanted(job, filter) then
    reply[#reply + 1] = { id, job.flow, failed, int(job.attempts), job.code, job.message, job.answer or '-' }
  end
  reply[2], reply[3] = failed, id
end
return reply
