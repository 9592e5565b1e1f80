-- Jobs that were leased, or back off, return to where they were in their flow.
--
-- USES _names _records _flows

-- Whether the one stream id was given before the other.
local function is_before(id, other)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then
    return tonumber(ms) < tonumber(other_ms)
  end
  return tonumber(seq) < tonumber(other_seq)
end

-- The last entry, from the head on, that was accepted before this one; nil where the head was not.
local function last_before(list, stream_id)
  local page, from, last = 64, 0, nil
  while true do
    local entries = call('LRANGE', list, from, from + page - 1)
    for _, entry in ipairs(entries) do
      local _, other = parse_entry(entry)
      if not is_before(other, stream_id) then
        return last
      end
      last = entry
    end
    if #entries < page then
      return last
    end
    from = from + page
  end
end

-- Back to the head of its flow, behind what was accepted before it, to wait there for its next attempt.
local function return_to_head(id, meta, now)
  local list = list_key(meta.flow)
  local pivot, entry = last_before(list, meta.stream_id), write_entry(id, meta.stream_id, meta.charges)
  if pivot then
    call('LINSERT', list, 'AFTER', pivot, entry)
  else
    call('LPUSH', list, entry)
  end
  call('HDEL', job_key(id), 'lease', 'retry_at')
  watch_expiry(meta.flow, int(meta.deadline))
  make_due(meta.flow, now, true)
end

-- Jobs that backed off long enough return to their flows.
local function return_retries(now)
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'retry', '-inf', int(now), 'LIMIT', 0, 1000)) do
    call('ZREM', P .. 'retry', id)
    if call('HGET', job_key(id), 'status') == 'retrying' then
      return_to_head(id, read_meta(id), now)
    end
  end
end
