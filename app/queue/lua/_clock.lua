-- The clock of this Redis may step back, when the machine's is set or another Redis takes over. What was to be due in a
-- second would then sleep for as long as the step was, so it is looked at now, page by page.
--
-- USES _names

local STEP_US, NOTED_US, KEPT_MS, PAGE = 1000000, 100000, 3600000, 50

-- Notes the time, and begins to look at everything that has one if it is earlier than was noted.
local function note_time(now)
  local clock = P .. 'clock'
  local noted = tonumber(call('GET', clock) or 0)
  if noted <= now and now < noted + NOTED_US then
    return
  end
  call('SET', clock, int(now), 'PX', KEPT_MS)
  if now < noted - STEP_US then
    call('HSET', P .. 'rewind', 'retry', '0')
    for _, priority in ipairs(call('ZRANGE', P .. 'priorities', 0, -1)) do
      call('HSET', P .. 'rewind', 'due:' .. priority, '0')
    end
  end
end

-- One page of it. Returns whether there are more.
local function rewind(now)
  local name = call('HKEYS', P .. 'rewind')[1]
  if not name then
    return false
  end
  local page = call('ZSCAN', P .. name, call('HGET', P .. 'rewind', name), 'COUNT', PAGE)
  for at = 1, #page[2], 2 do
    if tonumber(page[2][at + 1]) > now then
      call('ZADD', P .. name, 'XX', int(now), page[2][at])
    end
  end
  if page[1] == '0' then
    call('HDEL', P .. 'rewind', name)
  else
    call('HSET', P .. 'rewind', name, page[1])
  end
  return true
end
