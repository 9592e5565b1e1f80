-- Counts what of a rule waits to be sent: in one page of its flows, or among one page of all jobs that back off.
--
-- USES  _flows
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 'flows' or 'retries'   3 cursor   4 limit: how many jobs that back off to look at
-- RETURN {the time now, how many flows or jobs there are to look at, how many were looked at, how many jobs of the rule wait
--         there, cursor to go on with, '0' for the end}
-- COST  O(1) a flow, O(log n) a job, 100 a call at most

local rule, what, cursor, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function count_retries()
  local page = call('ZSCAN', P .. 'retry', cursor, 'COUNT', limit)
  local found = 0
  for at = 1, #page[2], 2 do
    local job = read_job(page[2][at])
    if job and rule_of(job.flow) == rule then
      found = found + 1
    end
  end
  return call('ZCARD', P .. 'retry'), #page[2] / 2, found, page[1]
end

local function count_in_flows()
  local flows = rule_key(rule) .. ':flows'
  local page = call('SSCAN', flows, cursor, 'COUNT', 10)
  local found = 0
  for _, flow in ipairs(page[2]) do
    if rule_of(flow) == rule then
      found = found + waiting(flow)
    end
  end
  return call('SCARD', flows), #page[2], found, page[1]
end

local there, looked, found, following
if what == 'retries' then
  there, looked, found, following = count_retries()
else
  there, looked, found, following = count_in_flows()
end
return { int(now_us()), there, looked, found, following }
