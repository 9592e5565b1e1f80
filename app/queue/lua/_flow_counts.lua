-- What is counted of a flow, for those who look at it: nothing is written for it.
--
-- USES _names _records

local SUBMITTED = '^%a %d+ %d+ %S+ %d+ %d+ %d+ %d+ (%d+) '
local HEADER_BEGINS = 159 -- enough for all fields of a header up to when it was submitted

-- When a waiting job was submitted, in milliseconds; 0 where there is no such job.
local function submitted_at(id)
  local found = match(call('GETRANGE', job_key(id), 0, HEADER_BEGINS), SUBMITTED)
  return found or '0'
end

-- How many jobs wait, and when the first of them was submitted.
local function waiting_of(flow, kafka)
  local count, first = 0, nil
  for _, key in ipairs(kafka and { fifo_key(flow), spilled_key(flow), awaiting_key(flow) } or { fifo_key(flow) }) do
    count = count + call('ZCARD', key)
    first = first or call('ZRANGE', key, 0, 0)[1]
  end
  return count, first and submitted_at((parse_member(first))) or '0'
end

-- Appends nine: name, depth (jobs that are not final), waiting, backing_off, bytes, ended (jobs of the flow that are final),
-- submitted_ms of the first waiting job (0: none waits), hold_until_us (0: it is not held), 1 if it is parked. Returns whether
-- there is such a flow.
local function push_counts(reply, flow)
  local open, bytes, seq, backing_off, kafka, hold_until, parked = unpack(
    call('HMGET', flow_key(flow), 'open', 'bytes', 'seq', 'backing_off', 'kafka', 'hold_until', 'parked'))
  if not open then
    return false
  end
  local waiting, submitted_ms = waiting_of(flow, kafka)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = flow, tonumber(open), waiting
  reply[n + 4], reply[n + 5] = math.max(0, tonumber(backing_off or 0)), tonumber(bytes)
  reply[n + 6], reply[n + 7] = seq - open, tonumber(submitted_ms)
  reply[n + 8], reply[n + 9] = int(tonumber(hold_until or 0)), parked and 1 or 0
  return true
end
