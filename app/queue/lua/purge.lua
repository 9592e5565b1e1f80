-- Cancel what of a rule waits to be sent: in one page of its flows, or in one page of all jobs that back off.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 'flows' or 'retries'   3 cursor   4 how many jobs of a flow, and jobs that back off, at most
-- RETURN {cursor to go on with, how many were canceled, 1 if there may be more}

local rule, cursor, most = ARGV[1], ARGV[3], tonumber(ARGV[4])
local now = now_us()
local canceled = 0
local function cancel(id)
  finish(id, read_meta(id), 'canceled', now, {})
  canceled = canceled + 1
end

if ARGV[2] == 'retries' then
  local page = call('ZSCAN', P .. 'retry', cursor, 'COUNT', most)
  for i = 1, #page[2], 2 do
    local id = page[2][i]
    local meta = read_meta(id)
    if meta and rule_of(meta.flow) == rule then
      call('ZREM', P .. 'retry', id)
      cancel(id)
    end
  end
  return { page[1], canceled, page[1] ~= '0' and 1 or 0 }
end

local page = call('SSCAN', rule_key(rule) .. ':flows', cursor, 'COUNT', 10)
local again = false
for _, flow in ipairs(page[2]) do
  for _, list in ipairs({ list_key(flow), spilled_key(flow) }) do
    for _, entry in ipairs(canceled < most and call('LPOP', list, most) or {}) do
      cancel((string.match(entry, '^%S+')))
    end
  end
  local awaiting = canceled < most and call('ZPOPMIN', awaiting_key(flow), most) or {}
  for i = 1, #awaiting, 2 do
    cancel(awaiting[i])
  end
  again = again or waiting(flow) > 0
end
return { again and cursor or page[1], canceled, (again or page[1] ~= '0') and 1 or 0 }
