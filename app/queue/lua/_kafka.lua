-- Jobs that come by way of Kafka: what of them is held here, and what is left on its disk.
--
-- USES _names _records _flows _memory

-- Whether a request from Kafka may be held here, as the one after `depth` others of its flow; nil where there is not even
-- room for the reference to it. A flow of few and small ones is never kept waiting by those of others.
--
-- room: window, most bytes, parts of `maxmemory` for requests and for references; used, limit, bytes: what there is
local function may_be_resident(room, depth, bytes)
  if room.limit > 0 and room.used + bytes > room.limit * room.references then
    return nil
  end
  if depth >= room.window then
    return false
  end
  local fits = room.bytes + bytes <= room.most_bytes
    and (room.limit == 0 or room.used + bytes <= room.limit * room.requests)
  return fits or depth * bytes < 65536
end

local function room_of(window, most_bytes, requests, references)
  local used, limit = memory()
  return {
    window = tonumber(window), most_bytes = tonumber(most_bytes), requests = tonumber(requests),
    references = tonumber(references), used = used, limit = limit,
    bytes = tonumber(call('HGET', P .. 'totals', 'bytes') or 0),
  }
end

-- A request from Kafka takes its place at the end of the flow's list.
local function put_in(id, meta, request, now)
  local stream_id = call('XADD', P .. 'jobs', '*', 'id', id)
  call('HSET', job_key(id), 'request', request, 'meta', write_meta(meta.flow, meta.owner, meta.submitted,
    int(meta.deadline), meta.max_attempts, meta.result_ttl, meta.dead_letter_ttl, stream_id, meta.charges))
  call('HINCRBY', P .. 'totals', 'bytes', #request)
  call('RPUSH', list_key(meta.flow), write_entry(id, stream_id, meta.charges))
  make_due(meta.flow, now, true)
end

-- A job whose request stays on Kafka's disk until its flow has room.
local function spill(id, meta, at, now)
  call('HSET', job_key(id), 'at', at)
  call('HSETNX', flow_key(meta.flow), 'kafka', '1')
  call('RPUSH', spilled_key(meta.flow), id .. ' ' .. at)
  call('ZADD', P .. 'spilled', 'NX', int(now), meta.flow)
end
