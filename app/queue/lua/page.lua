-- A page of an owner's jobs, newest first. Those whose records are gone are forgotten.
--
-- USES  _views
-- KEYS  1 the partition's prefix
-- ARGV  1 owner   2 limit   3 the time of submission (microseconds) and   4 the id that the page begins after; '' for the first
-- RETURN for each job 17: its time of submission, then its view as view.lua returns it; `limit` jobs at most, and fewer only
--        at the end of the list
-- COST  O(log n) a job, 101 jobs and as many forgotten ones a call at most

local owner, limit, after_us, after_id = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local owned = P .. 'owner:' .. owner
local now = now_us()
local reply, count = {}, 0 -- flat: Redis sends each table of a reply by itself
local from, looked = after_us == '' and '+inf' or after_us, 0
while count < limit and looked < 2 * limit do
  -- The highest score is looked at again: two jobs may share a microsecond.
  local found = call('ZREVRANGEBYSCORE', owned, from, '-inf', 'WITHSCORES', 'LIMIT', 0, limit + 1)
  local progressed = false
  for at = 1, #found, 2 do
    local id, score = found[at], found[at + 1]
    local is_after = after_us == '' or tonumber(score) < tonumber(after_us) or (score == after_us and id < after_id)
    if is_after and count < limit then
      looked, progressed = looked + 1, true
      local job = view(id, now)
      if job then
        count = count + 1
        push(reply, score)
        for _, field in ipairs(job) do
          reply[#reply + 1] = field
        end
      else
        call('ZREM', owned, id)
      end
      after_us, after_id, from = score, id, score
    end
  end
  if not progressed or #found < 2 * (limit + 1) then
    break
  end
end
return reply
