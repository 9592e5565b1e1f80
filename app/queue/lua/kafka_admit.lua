-- Messages of one Kafka partition, in its order, move into their flows: with their requests where there is room, else as
-- references to what stays on Kafka's disk. What was admitted before, and what is final or gone, is skipped.
--
-- USES  _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 window: most jobs of a flow that are held with their requests   2 most request bytes held, of all flows
--       3 most of `maxmemory` for requests, a fraction   4 the same for references
--       then for each message four: id, Kafka partition, offset, request
-- RETURN {how many were dealt with; there is no room for the rest, how many are in flows, left behind, skipped}

local now = now_us()
local room = room_of(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
local done, held, behind, skipped = 0, 0, 0, 0
for i = 5, #ARGV, 4 do
  local id, request = ARGV[i], ARGV[i + 3]
  local at = ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' ' .. #request
  local status, known_at = unpack(call('HMGET', job_key(id), 'status', 'at'))
  if known_at ~= '-' then
    skipped = skipped + 1
  elseif status ~= 'queued' then -- a dead letter may be sent again: this is where its request is
    call('HSET', job_key(id), 'at', at)
    skipped = skipped + 1
  else
    local meta = read_meta(id)
    local depth = call('LLEN', list_key(meta.flow))
    local may = may_be_resident(room, depth, #request)
    if may == nil then
      break
    end
    call('ZREM', awaiting_key(meta.flow), id)
    if may and call('LLEN', spilled_key(meta.flow)) == 0 then
      call('HSET', job_key(id), 'at', at)
      put_in(id, meta, request, now)
      room.used, room.bytes = room.used + #request, room.bytes + #request
      held = held + 1
    else
      spill(id, meta, at, now)
      behind = behind + 1
    end
  end
  done = done + 1
end
return { done, held, behind, skipped }
