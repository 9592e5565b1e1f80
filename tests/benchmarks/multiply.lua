-- Copies one job many times, as if each copy had been brought into its state by itself. The parts _names and _records of the
-- queue's scripts come before this text.
--
-- KEYS  1 the partition's prefix
-- ARGV  1 id of the job   2 the first number   3 how many copies; their numbers follow each other, and each is the end of an id
--       4 consumer, which has the copies of a job that is in flight
--       5 user   6 address: parts of the flow's name, of which each copy has others; '' for copies in the flow of the job

local model, first, count, consumer = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local user, address = ARGV[5], string.gsub(ARGV[6], '%.', '%%.')
local has_own_flow = user ~= ''

local record, state = call('GET', job_key(model)), call('HGET', P .. 'state', model)
local job = state and parse_state(state) or parse_record(record)
local request = after_line(record)
local seq, flow, owner = tonumber(job.seq), job.flow, job.owner
local flow_fields = has_own_flow and call('HGETALL', flow_key(flow))

local function numbered(text, number)
  return sub(text, 1, -9) .. format('%08d', number)
end

local function flow_of(number)
  if not has_own_flow then
    return flow
  end
  local of_user = string.gsub(flow, user, numbered(user, number), 1)
  return (string.gsub(of_user, address, format('10.%d.%d.%d', number / 65536, number / 256 % 256, number % 256), 1))
end

local function owner_of(number)
  return has_own_flow and numbered(owner, number) or owner
end

-- What is added to sorted sets, hashes and sets: the words of one command by key. And the records: keys and values.
local scores, fields, members, records = {}, {}, {}, {}

-- What does not differ between copies of a job that is not final.
local first_part, second_part, state_line
if not job.is_final then
  first_part, second_part =
    shared_header(job.from_kafka, job.deadline, job.max_attempts, job.result_ttl, job.dead_letter_ttl, job.submitted)
  state_line = state and sub(state, 1, find(state, '\n', 1, true))
end

-- The scores of the job and of its flow in sorted sets, where they have one.
local score_of = {}
for _, set in ipairs({ 'retry', 'dead', 'outbox' }) do
  score_of[P .. set] = call('ZSCORE', P .. set, model) or nil
end
local in_owned = call('ZSCORE', P .. 'owner:' .. owner, model)
local lasts_ms = call('PTTL', job_key(model))
local in_fifo = call('ZSCORE', fifo_key(flow), fifo_member(model, job.costs))
local in_spilled, in_awaiting = call('ZSCORE', spilled_key(flow), model), call('ZSCORE', awaiting_key(flow), model)
local due = P .. 'due:' .. (call('HGET', flow_key(flow), 'priority') or '0')
local flow_score_of = {}
for _, set in ipairs({ due, P .. 'expiry', P .. 'unread' }) do
  flow_score_of[set] = call('ZSCORE', set, flow) or nil
end
local place = call('HGET', P .. 'kafka', model)

local function copy_score(score, key, member, more)
  if score then
    push(list_of(scores, key), int(score + more), member)
  end
end

local function copy_open_job(id, number, more)
  local own_flow = flow_of(number)
  local stream_id = job.stream_id and call('XADD', P .. 'jobs', '*', 'id', id) or '-'
  local function with_header(line, rest)
    return line .. new_record(first_part, second_part, stream_id, int(seq + more), job.bytes, job.costs, job.idem or '-',
      owner_of(number), own_flow, rest)
  end
  push(records, job_key(id), with_header('', request))
  if state then
    push(list_of(fields, P .. 'state'), id, sub(with_header(state_line, ''), 1, -2)) -- without the end of the line
  end
  if job.status == 'running' then
    call('XCLAIM', P .. 'jobs', 'workers', consumer, 0, stream_id, 'FORCE', 'JUSTID')
  end
  copy_score(in_fifo, fifo_key(own_flow), fifo_member(id, job.costs), more)
  copy_score(in_spilled, spilled_key(own_flow), id, more)
  copy_score(in_awaiting, awaiting_key(own_flow), id, more)
end

local function copy_job(number)
  local id, more = numbered(model, number), has_own_flow and 0 or number
  if job.is_final then
    call('SET', job_key(id), record, 'PX', lasts_ms)
  else
    copy_open_job(id, number, more)
  end
  for set, score in pairs(score_of) do
    copy_score(score, set, id, more)
  end
  copy_score(in_owned, P .. 'owner:' .. owner_of(number), id, more)
  if place then
    push(list_of(fields, P .. 'kafka'), id, place)
  end
end

local function copy_flow(number)
  local new = flow_of(number)
  call('HSET', flow_key(new), unpack(flow_fields))
  for set, score in pairs(flow_score_of) do
    copy_score(score, set, new, 0)
  end
  local counter, from = nil, 1
  while from do
    counter, from = counter_at(new, from)
    push(list_of(fields, P .. 'counters'), counter, '1')
    push(list_of(members, rule_key(rule_of(counter)) .. ':flows'), new)
  end
end

for number = first, first + count - 1 do
  copy_job(number)
  if has_own_flow then
    copy_flow(number)
  end
end
if #records > 0 then
  call('MSET', unpack(records))
end
for command, keys in pairs({ ZADD = scores, HSET = fields, SADD = members }) do
  for key, words in pairs(keys) do
    call(command, key, unpack(words))
  end
end
if has_own_flow then
  local list_lasts_ms = call('PTTL', P .. 'owner:' .. owner)
  for number = first, first + count - 1 do
    call('PEXPIRE', P .. 'owner:' .. owner_of(number), list_lasts_ms)
  end
end
if not job.is_final then
  local bytes = int(count * job.bytes)
  call('HINCRBY', P .. 'totals', 'jobs', count)
  call('HINCRBY', P .. 'totals', 'bytes', bytes)
  if not has_own_flow then
    call('HINCRBY', flow_key(flow), 'open', count)
    call('HINCRBY', flow_key(flow), 'bytes', bytes)
    call('HSET', flow_key(flow), 'seq', int(seq + first + count - 1))
  end
end
