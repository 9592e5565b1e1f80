-- Names and times. Each script gets the partition's prefix, `{q0}:`, as KEYS[1] and appends the rest; the prefix is a hash
-- tag, so all of a partition's keys live in one slot.
--
--   jobs               stream: one entry a job, field `id`; its group's pending list holds what is in flight
--   job:<id>           hash: meta, status, request, attempts, lease, started, finished, code, message, answer,
--                      response, retry_at, idem; few fields, and short ones, because there may be millions. Of one
--                      that came by way of Kafka also: at ('-' while its message was not read, then "<partition> <offset>
--                      <bytes>"), confirmed
--   flow:<flow>        hash: priority, revision, open, token, held, parked, kafka (1: it has had jobs from there); a flow's
--                      name is "<rule id>|<descriptor>"
--   flow:<flow>:jobs   list: "<id> <stream id> <charges>", the next to be sent first
--   flow:<flow>:spilled list: "<id> <partition> <offset> <bytes>": behind those, their requests left on Kafka's disk
--   flow:<flow>:awaiting  sorted set: behind those, jobs whose message was not read from Kafka yet, by submission
--   behind             sorted set: flows with jobs left on Kafka's disk, by the time at which they are worth a look
--   unread             sorted set: flows by the submission of a job that may be awaiting its message
--   caught_up          hash: a Kafka partition to the time (milliseconds) up to which it has been read
--   letters            sorted set: dead letters to be told to Kafka, by the time at which to try
--   due:<priority>     sorted set: flows by the time at which they are worth a look
--   priorities         sorted set: the priorities in use
--   retry              sorted set: jobs that back off, by the time at which they return to their flow
--   expiry             sorted set: flows by the time at which a job that waits there may have waited for too long
--   totals             hash: jobs and request bytes of all that are not final; how many bytes may come until the memory
--                      in use is looked at again (spare), and when it was (looked)
--   dead               sorted set: dead letters by the time at which they died
--   rule:<id>          hash: revision, json, interval: the rule as its flows know it, while it has any
--   rule:<id>:flows    set: the flows of a rule
--   revisions          hash: the revision up to which the flows of a rule that changed have been rescheduled
--   owner:<owner>      sorted set: an owner's jobs by submission; goes with the last of their records
--   idem:<owner>:<key> string: "<job id> <fingerprint>"
--
-- All times are microseconds of TIME, but for those in records, which are milliseconds.

local P = KEYS[1]
local call = redis.call

local function now_us()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Whole, as text. What is left a number becomes text by way of its seventeen digits, which takes several times as long;
-- so does %.0f, but a quota of a few units a year may owe for longer than %d can tell.
local function int(number)
  return string.format(number < 9e15 and '%d' or '%.0f', number)
end

local function flow_key(flow)
  return P .. 'flow:' .. flow
end

local function list_key(flow)
  return P .. 'flow:' .. flow .. ':jobs'
end

local function spilled_key(flow)
  return P .. 'flow:' .. flow .. ':spilled'
end

local function awaiting_key(flow)
  return P .. 'flow:' .. flow .. ':awaiting'
end

local function job_key(id)
  return P .. 'job:' .. id
end

local function rule_of(flow)
  return string.match(flow, '^[^|]+')
end

local function rule_key(rule)
  return P .. 'rule:' .. rule
end
