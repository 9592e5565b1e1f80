-- What a flow waits for may have changed.
--
-- USES _flows

-- A flow is worth a look at `at`, or when whoever holds it gives it back.
local function hurry(flow, at, now)
  local held, hold_until, ring, of_flow = unpack(call('HMGET', flow_key(flow), 'held', 'hold_until', 'ring', 'priority'))
  at = math.max(at, tonumber(hold_until or 0))
  if tonumber(held or 0) >= now then
    -- Whoever holds it may have asked for slots before this change, and is about to say how long it waits.
    call('HSET', flow_key(flow), 'rescheduled', 1)
    return
  end
  if ring then
    local unit = '~' .. ring
    if call('HEXISTS', flow_key(unit), 'token') == 0 then
      call('ZADD', due_key(unit), 'LT', int(at), unit)
    else
      call('HSET', flow_key(unit), 'rescheduled', 1)
      call('HSET', flow_key(flow), 'rescheduled', 1) -- it may leave the ring, to wait for another counter
    end
  elseif call('EXISTS', fifo_key(flow)) == 1 then
    call('ZADD', P .. 'due:' .. of_flow, int(at), flow)
  end
end
