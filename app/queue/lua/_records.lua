-- Job records, and the entries that stand for jobs in flows.
--
-- USES _names

-- A job as it stands in its flow's list.
local function write_entry(id, stream_id, charges)
  return id .. ' ' .. stream_id .. ' ' .. charges
end

-- id, stream id, charges
local function parse_entry(entry)
  return string.match(entry, '^(%S+) (%S+) (.*)$')
end

-- What never changes of a job, in one field: "flow owner submitted deadline max_attempts result_ttl dead_letter_ttl
-- stream_id charges", times in milliseconds, '-' for no owner, and for the stream id of a job on Kafka.
local function write_meta(...)
  return table.concat({ ... }, ' ')
end

local function parse_meta(text)
  local flow, owner, submitted, deadline, max_attempts, result_ttl, dead_letter_ttl, stream_id, charges = string.match(
    text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  return {
    flow = flow, owner = owner, submitted = submitted, deadline = tonumber(deadline),
    max_attempts = tonumber(max_attempts), result_ttl = result_ttl, dead_letter_ttl = dead_letter_ttl,
    stream_id = stream_id ~= '-' and stream_id or nil, charges = charges,
  }
end

-- nil for a job that is not there. With it the lease under which the job is, and its idempotency key, where there is one.
local function read_meta(id)
  local text, lease, idem = unpack(call('HMGET', job_key(id), 'meta', 'lease', 'idem'))
  if not text then
    return nil
  end
  local meta = parse_meta(text)
  meta.lease, meta.idem = lease, idem
  return meta
end
