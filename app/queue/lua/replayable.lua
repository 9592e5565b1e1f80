-- Looks through dead letters, the oldest first, for those of a rule. Those whose record's time is over are forgotten.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 from: the time of failure (microseconds) to begin at   3 skip: how many of that time to pass over
--       4 until: the latest time of failure, '' for now   5 look: how many to look at
-- RETURN {until, 1 if there may be more, then for each: id, failed_us, 1 if it is of the rule}
-- COST  O(log n) a dead letter looked at, 100 a call at most

local rule, from, skip, upto, look = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if upto == '' then
  upto = int(now_us())
end

local found = call('ZRANGEBYSCORE', P .. 'dead', from, upto, 'WITHSCORES', 'LIMIT', skip, look)
local reply = { upto, #found == 2 * look and 1 or 0 }
for at = 1, #found, 2 do
  local id = found[at]
  local job = read_job(id)
  if job then
    reply[#reply + 1] = id
    reply[#reply + 1] = found[at + 1]
    reply[#reply + 1] = rule_of(job.flow) == rule and 1 or 0
  else
    call('ZREM', P .. 'dead', id)
  end
end
return reply
