-- Dead letters, the latest first, a page of them. Those whose record's time is over are forgotten.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 the id that the page begins after, '' for the first   2 limit   3 rule id, '' for all   4 look: how many to look at
-- RETURN {the id to go on after, '' for the last page,
--         then for each: {id, flow, failed_us, attempts, code, message, answer}}
-- COST  O(log n) a dead letter looked at, 100 a call at most

local after, limit, rule, look = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local from = 0
if after ~= '' then
  from = (call('ZREVRANK', P .. 'dead', after) or -1) + 1
end

local found = call('ZREVRANGE', P .. 'dead', from, from + look - 1, 'WITHSCORES')
local reply = { '' }
local last = ''
for at = 1, #found, 2 do
  local id, failed = found[at], found[at + 1]
  local job = read_job(id)
  if not job then
    call('ZREM', P .. 'dead', id)
  else
    if #reply - 1 == limit then
      reply[1] = last
      return reply
    end
    last = id
    if rule == '' or rule_of(job.flow) == rule then
      reply[#reply + 1] = { id, job.flow, failed, int(job.attempts), job.code, job.message, job.answer or '-' }
    end
  end
end
if #found == 2 * look then
  reply[1] = last
end
return reply
