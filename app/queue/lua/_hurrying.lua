-- What a flow waits for may have changed.
--
-- USES _flows

-- A flow is worth a look at `at`, or when whoever holds it gives it back.
local function hurry(flow, at, now)
  local hold_until, ring, of_flow = unpack(call('HMGET', flow_key(flow), 'hold_until', 'ring', 'priority'))
  at = math.max(at, tonumber(hold_until or 0))
  if (lease_of(flow) or 0) >= now then
    -- Whoever holds it may have asked for slots before this change, and is about to say how long it waits.
    call('SADD', P .. 'rescheduled', flow)
    return
  end
  if ring then
    local unit = '~' .. ring
    if lease_of(unit) then
      call('SADD', P .. 'rescheduled', unit, flow) -- the flow may leave the ring, to wait for another counter
    else
      call('ZADD', due_key(unit), 'LT', int(at), unit)
    end
  elseif call('EXISTS', fifo_key(flow)) == 1 then
    call('ZADD', P .. 'due:' .. of_flow, int(at), flow)
  end
end
