-- Cancels what of a rule, or of one flow, waits to be sent: in one page of its flows, or among one page of all jobs that back
-- off.
--
-- USES  _ending _batches
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id, or name of a flow   2 'flows' or 'retries'   3 cursor   4 limit: how many jobs at most, 0 for none
--       5 until: what was submitted later stays (milliseconds), '' for no time   6 id of the operation, '' for none
--       7 number of the batch
-- RETURN {number of the batch that was done last, cursor to go on with, how many were canceled, 1 if there may be more}
-- COST  O(log n) a job, 100 jobs a call at most

local of, what, cursor, limit, upto = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]) or math.huge
local operation, number = ARGV[6], tonumber(ARGV[7])

local known = reply_of_batch(operation, number)
if known then
  return known
end

local ending = new_ending(now_us())
local is_flow = find(of, '|', 1, true) ~= nil

local function is_of(flow)
  return flow == of or not is_flow and rule_of(flow) == of
end

local function page_of_retries()
  local page = call('ZSCAN', P .. 'retry', cursor, 'COUNT', limit)
  for at = 1, #page[2], 2 do
    local id = page[2][at]
    local job = read_job(id)
    if job and is_of(job.flow) and tonumber(job.submitted) <= upto then
      end_backoff(id, job.flow)
      end_read_job(ending, id, job, 'canceled')
    end
  end
  return page[1], page[1] ~= '0'
end

-- Cancels the first of those that wait in a set of a flow. Returns whether it met one that was submitted too late.
local function cancel_first(key)
  local canceled, is_late = {}, false
  for _, member in ipairs(#ending.ids < limit and call('ZRANGE', key, 0, limit - #ending.ids - 1) or {}) do
    local id = parse_member(member)
    local job = read_job(id)
    if tonumber(job.submitted) > upto then
      is_late = true
      break
    end
    end_read_job(ending, id, job, 'canceled')
    push(canceled, member)
  end
  if #canceled > 0 then
    call('ZREM', key, unpack(canceled))
  end
  return is_late
end

-- Returns whether jobs are left that are to be canceled. What stands behind one that was submitted too late was so too.
local function cancel_in_flow(flow)
  for _, key in ipairs({ fifo_key(flow), spilled_key(flow), awaiting_key(flow) }) do
    if cancel_first(key) then
      return false
    end
  end
  return waiting(flow) > 0
end

local function page_of_flows()
  local page = is_flow and { '0', { of } } or call('SSCAN', rule_key(of) .. ':flows', cursor, 'COUNT', 10)
  local again = false
  for _, flow in ipairs(page[2]) do
    again = is_of(flow) and cancel_in_flow(flow) or again
  end
  return again and cursor or page[1], again or page[1] ~= '0'
end

local go_on, more = cursor, true
if limit > 0 and what == 'retries' then
  go_on, more = page_of_retries()
elseif limit > 0 then
  go_on, more = page_of_flows()
end
write_ends(ending)
return keep_batch(operation, { number, go_on, #ending.ids, more and 1 or 0 })
