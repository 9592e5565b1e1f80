-- Cancels what of a rule waits to be sent: in one page of its flows, or among one page of all jobs that back off.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 'flows' or 'retries'   3 cursor   4 limit: how many jobs at most
-- RETURN {cursor to go on with, how many were canceled, 1 if there may be more}
-- COST  O(log n) a job, 100 jobs a call at most

local rule, what, cursor, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = now_us()
local ending = new_ending(now)
local function cancel(id)
  end_read_job(ending, id, read_job(id), 'canceled')
end

local function page_of_retries()
  local page = call('ZSCAN', P .. 'retry', cursor, 'COUNT', limit)
  for at = 1, #page[2], 2 do
    local id = page[2][at]
    local job = read_job(id)
    if job and rule_of(job.flow) == rule then
      call('ZREM', P .. 'retry', id)
      cancel(id)
    end
  end
  return page[1], page[1] ~= '0'
end

local function page_of_flows()
  local page = call('SSCAN', rule_key(rule) .. ':flows', cursor, 'COUNT', 10)
  local again = false
  for _, flow in ipairs(page[2]) do
    if rule_of(flow) == rule then
      for _, key in ipairs({ fifo_key(flow), spilled_key(flow), awaiting_key(flow) }) do
        local found = #ending.ids < limit and call('ZPOPMIN', key, limit - #ending.ids) or {}
        for at = 1, #found, 2 do
          cancel((parse_member(found[at])))
        end
      end
      again = again or waiting(flow) > 0
    end
  end
  return again and cursor or page[1], again or page[1] ~= '0'
end

local go_on, more
if what == 'retries' then
  go_on, more = page_of_retries()
else
  go_on, more = page_of_flows()
end
write_ends(ending)
return { go_on, #ending.ids, more and 1 or 0 }
