-- Jobs that come by way of Kafka: whose requests are resident here, and whose are left on its disk (spilled).
--
-- USES _names _records _flows _memory

local ALWAYS_RESIDENT_BYTES = 65536 -- a flow of few and small requests never waits for those of others

-- Whether a request from Kafka may be resident, as the one after `depth` others of its flow; nil where there is no
-- capacity even for the reference to it.
--
-- capacity: window, max_bytes, parts of `maxmemory` for requests and for references; used, limit, bytes: what there is
local function may_be_resident(capacity, depth, bytes)
  if capacity.limit > 0 and capacity.used + bytes > capacity.limit * capacity.references then
    return nil
  end
  if depth >= capacity.window then
    return false
  end
  local fits = capacity.bytes + bytes <= capacity.max_bytes
    and (capacity.limit == 0 or capacity.used + bytes <= capacity.limit * capacity.requests)
  return fits or depth * bytes < ALWAYS_RESIDENT_BYTES
end

local function read_capacity(window, max_bytes, requests, references)
  local used, limit = memory()
  return {
    window = tonumber(window), max_bytes = tonumber(max_bytes), requests = tonumber(requests),
    references = tonumber(references), used = used, limit = limit,
    bytes = tonumber(call('HGET', P .. 'totals', 'bytes') or 0),
  }
end

-- A request from Kafka takes its place in the flow's FIFO.
local function make_resident(id, job, request, now)
  job.stream_id = call('XADD', P .. 'jobs', '*', 'id', id)
  job.bytes = #request
  call('SET', job_key(id), write_header(job) .. '\n' .. request)
  if job.past ~= '-' then -- it was replayed: its state has its header too
    save_state(id, job)
  end
  call('HINCRBY', P .. 'totals', 'bytes', #request)
  call('HINCRBY', flow_key(job.flow), 'bytes', #request)
  call('ZADD', fifo_key(job.flow), job.seq, fifo_member(id, job.costs))
  make_due(job.flow, now)
end

-- A job whose request stays on Kafka's disk until its flow has capacity.
local function spill(id, job, place, now)
  call('HSET', P .. 'kafka', id, place)
  call('HSETNX', flow_key(job.flow), 'kafka', '1')
  call('ZADD', spilled_key(job.flow), job.seq, id)
  call('ZADD', P .. 'spilled', 'NX', int(now), job.flow)
end
