-- Job records. What never changes of a job that is not final is its header, the first line of `job:<id>`:
--
--   w|k deadline max_attempts stream_id seq bytes result_ttl dead_letter_ttl submitted costs idem owner flow
--
-- w for a job that came by an edge alone, k for one that came from Kafka; times in milliseconds; '-' for no stream id (its
-- request is on Kafka), no idempotency key, no owner, and for costs of one unit each. Once it was leased, `state` holds for
-- it "status lease attempts started retry_at code worker leased past message", a line feed and its header. Once it is final,
-- `job:<id>` holds one line
--
--   s|f|c flow owner submitted started finished attempts answer stored took costs idem worker past place|response_bytes
--   code message
--
-- for succeeded, failed and canceled, then the response, then (of a dead letter alone) the request.
--
-- worker and leased: which worker has the job and since when; of a final job, which worker sent it last, and how long that
-- request took (took, milliseconds). past: the attempts before that, the last ones of them, each
-- "number,worker,started,ended,code,answer" and separated by ';'. '-' for what there is not.
--
-- A dead letter that is replayed keeps its attempts: it has a state from then on, as if it had been leased, and the last of
-- its past attempts has three fields more, "failed,code,replayed": when and why the job had failed, and when it was replayed.
-- One that was never sent has for these an attempt of the number 0.
--
-- An earlier version wrote states without worker, leased and past, and final lines without took, worker and past. They are
-- read as if they had '-' there.
--
-- USES _names

local HEADER_BYTES = 10240 -- more than any first line has: descriptors, messages and past attempts are bounded
local MESSAGE_BYTES = 300
local WORKER_BYTES, PAST_ATTEMPTS = 100, 10

local HEADER = '^([wk]) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) ([^\n]+)'
local STATE = '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) ([%d%-]+) ([%d%-]%S*) ([^\n]*)\n()'
local EARLIER_STATE = '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) ([^\n]*)\n()'
local FINAL = '^([sfc]) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S[^|]*)|(%d+) (%S+) '
  .. '([^\n]*)'
local EARLIER_FINAL = '^([sfc]) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S[^|]*)|(%d+) (%S+) ([^\n]*)'
local KINDS = { s = 'succeeded', f = 'failed', c = 'canceled' }
local LETTERS = { succeeded = 's', failed = 'f', canceled = 'c' }

local function write_header(job)
  return (job.from_kafka and 'k ' or 'w ') .. job.deadline .. ' ' .. job.max_attempts .. ' ' .. (job.stream_id or '-') .. ' '
    .. job.seq .. ' ' .. job.bytes .. ' ' .. job.result_ttl .. ' ' .. job.dead_letter_ttl .. ' ' .. job.submitted .. ' '
    .. job.costs .. ' ' .. (job.idem or '-') .. ' ' .. job.owner .. ' ' .. job.flow
end

-- The same for new jobs in two parts, which jobs of one rule and call share; what is each job's own comes between and after
-- them.
local function shared_header(from_kafka, deadline, max_attempts, result_ttl, dead_letter_ttl, submitted)
  return (from_kafka and 'k ' or 'w ') .. deadline .. ' ' .. max_attempts .. ' ',
    ' ' .. result_ttl .. ' ' .. dead_letter_ttl .. ' ' .. submitted .. ' '
end

local function new_record(first, second, stream_id, seq, bytes, costs, idem, owner, flow, request)
  return first .. stream_id .. ' ' .. seq .. ' ' .. bytes .. second .. costs .. ' ' .. idem .. ' ' .. owner .. ' ' .. flow
    .. '\n' .. request
end

-- The job of a header; nil for what is none. from: where in the text it begins, 1 where it is not said
local function parse_header(text, from)
  local kind, deadline, max_attempts, stream_id, seq, bytes, result_ttl, dead_letter_ttl, submitted, costs, idem, owner,
    flow = match(text, HEADER, from)
  if not kind then
    return nil
  end
  return {
    status = 'queued', lease = '-', attempts = 0, started = '-', retry_at = '-', code = '-', worker = '-', leased = '-',
    past = '-', message = '', from_kafka = kind == 'k', flow = flow, owner = owner, submitted = submitted,
    deadline = tonumber(deadline), max_attempts = tonumber(max_attempts), result_ttl = result_ttl,
    dead_letter_ttl = dead_letter_ttl,
    stream_id = stream_id ~= '-' and stream_id or nil, seq = seq, bytes = tonumber(bytes), costs = costs,
    idem = idem ~= '-' and idem or nil,
  }
end

local function one_line(text)
  return sub(string.gsub(text, '[%c|]', ' '), 1, MESSAGE_BYTES)
end

local function write_state(job)
  return job.status .. ' ' .. job.lease .. ' ' .. job.attempts .. ' ' .. job.started .. ' ' .. job.retry_at .. ' '
    .. job.code .. ' ' .. job.worker .. ' ' .. job.leased .. ' ' .. job.past .. ' ' .. job.message .. '\n'
    .. write_header(job)
end

-- The state of a job at its first attempt, all but its header.
local function first_state(lease, now_ms, worker)
  return 'running ' .. lease .. ' 1 ' .. now_ms .. ' - - ' .. worker .. ' ' .. now_ms .. ' - \n'
end

-- An attempt of a job is over, and no worker has the job any more: it is the last of its past attempts. took: how long the
-- request took (milliseconds), '' where nobody knows; answer: the app server's status, '' for none
local function end_attempt(job, now_ms, code, took, answer)
  local last = match(job.past, '(%d+),[^;]*$')
  local number = (last or 0) + 1
  local attempt = concat({
    int(number), job.worker, took == '' and job.leased or int(now_ms - took), int(now_ms), code, answer == '' and '-' or answer,
  }, ',')
  job.past = last and job.past .. ';' .. attempt or attempt
  if number > PAST_ATTEMPTS then
    job.past = sub(job.past, find(job.past, ';', 1, true) + 1)
  end
  job.lease, job.worker, job.leased = '-', '-', '-'
end

-- What a lease must know of a job that was never leased: deadline, max_attempts, stream_id.
local function peek_header(text)
  return match(text, '^%a (%d+) (%d+) (%S+)')
end

-- What the end of a leased job needs of its state: lease, attempts, started, worker, past, and where its header begins.
local function peek_state(text)
  local lease, attempts, started, worker, past, header_at =
    match(text, '^%S+ (%S+) (%d+) (%S+) %S+ %S+ (%S+) [%d%-]+ ([%d%-]%S*) [^\n]*\n()')
  if lease then
    return lease, attempts, started, worker, past, header_at
  end
  lease, attempts, started, header_at = match(text, '^%S+ (%S+) (%d+) (%S+) [^\n]*\n()')
  return lease, attempts, started, '-', '-', header_at
end

local function parse_state(text)
  local status, lease, attempts, started, retry_at, code, worker, leased, past, message, header_at = match(text, STATE)
  if not status then
    status, lease, attempts, started, retry_at, code, message, header_at = match(text, EARLIER_STATE)
    worker, leased, past = '-', started, '-'
  end
  local job = parse_header(text, header_at)
  job.status, job.lease, job.attempts, job.started = status, lease, tonumber(attempts), started
  job.retry_at, job.code, job.message = retry_at, code, message
  job.worker, job.leased, job.past = worker, leased, past
  return job
end

local function parse_final(text)
  local kind, flow, owner, submitted, started, finished, attempts, answer, stored, took, costs, idem, worker, past, place,
    response_bytes, code, message = match(text, FINAL)
  if not kind then
    kind, flow, owner, submitted, started, finished, attempts, answer, stored, costs, idem, place, response_bytes, code,
      message = match(text, EARLIER_FINAL)
    took, worker, past = '-', '-', '-'
  end
  if not kind then
    return nil
  end
  return {
    is_final = true, status = KINDS[kind], flow = flow, owner = owner, submitted = submitted, started = started,
    finished = finished, attempts = tonumber(attempts), answer = answer, stored = stored, took = took, costs = costs,
    worker = worker, past = past, idem = idem ~= '-' and idem or nil, place = place ~= '-' and place or nil,
    response_bytes = tonumber(response_bytes), code = code, message = message,
  }
end

-- A job from the beginning of its record; nil where there is none.
local function parse_record(text)
  return parse_header(text) or parse_final(text)
end

-- A job as it stands; nil where there is none.
local function read_job(id)
  local state = call('HGET', P .. 'state', id)
  if state then
    return parse_state(state)
  end
  return parse_record(call('GETRANGE', job_key(id), 0, HEADER_BYTES - 1))
end

local function save_state(id, job)
  call('HSET', P .. 'state', id, write_state(job))
end

-- A job as a member of its flow's FIFO.
local function fifo_member(id, costs)
  return costs == '-' and id or id .. ' ' .. costs
end

-- The id of a member, and its costs.
local function parse_member(member)
  local space = find(member, ' ', 1, true)
  if space then
    return sub(member, 1, space - 1), sub(member, space + 1)
  end
  return member, '-'
end

-- What follows the first line of a record.
local function after_line(text)
  return sub(text, find(text, '\n', 1, true) + 1)
end
