-- Cancels what of a rule, or of one flow, waits to be sent: in one page of its flows, or among one page of all jobs that back
-- off.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id, or name of a flow   2 'flows' or 'retries'   3 cursor   4 limit: how many jobs at most
-- RETURN {cursor to go on with, how many were canceled, 1 if there may be more}
-- COST  O(log n) a job, 100 jobs a call at most

local of, what, cursor, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = now_us()
local ending = new_ending(now)
local is_flow = find(of, '|', 1, true) ~= nil

local function is_of(flow)
  return flow == of or not is_flow and rule_of(flow) == of
end

local function cancel(id)
  end_read_job(ending, id, read_job(id), 'canceled')
end

local function page_of_retries()
  local page = call('ZSCAN', P .. 'retry', cursor, 'COUNT', limit)
  for at = 1, #page[2], 2 do
    local id = page[2][at]
    local job = read_job(id)
    if job and is_of(job.flow) then
      end_backoff(id, job.flow)
      cancel(id)
    end
  end
  return page[1], page[1] ~= '0'
end

local function page_of_flows()
  local page = is_flow and { '0', { of } } or call('SSCAN', rule_key(of) .. ':flows', cursor, 'COUNT', 10)
  local again = false
  for _, flow in ipairs(page[2]) do
    if is_of(flow) then
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
