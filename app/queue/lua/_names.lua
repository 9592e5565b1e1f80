-- Names of keys, and times. Each script gets the partition's prefix, `{q0}:`, as KEYS[1] and appends the rest. The prefix
-- is a hash tag, so all keys of a partition live in one slot.
--
--   job:<id>              string: a header line, then the request; once the job is final, then what is kept of it
--                         (_records.lua)
--   state                 hash: for each job that was leased and is not final: what changes of it, and its header
--   jobs                  stream: one entry for each job that is not final; the pending list of the group `workers`
--                         holds what is in flight
--   flow:<flow>           hash: open (jobs that are not final), bytes (of their requests), seq (the last number given to
--                         a job), priority, revision, parked (what is paused: flow or rule), ring, waits_for, hold_until,
--                         hold_code, refusals, mixed (1: not all jobs cost the same), max_wait (of its rule), mixed_waits
--                         (1: not all jobs may wait for as long), kafka (1: it has had jobs from Kafka), backing_off
--                         (jobs that stand in `retry`)
--   flow:<flow>:jobs      sorted set: the FIFO. "<id>" or "<id> <costs>" by number in the flow, the next to be sent first
--   flow:<flow>:spilled   sorted set: behind those, jobs whose requests stay on Kafka's disk, by number in the flow
--   flow:<flow>:awaiting  sorted set: behind those, jobs whose message was not read from Kafka yet, by number in the flow
--   counters              hash: "<rule id>|<descriptor>" to the number of open flows that are charged for it
--   ring:<counter>        sorted set: flows that wait for a counter which several share, by the turns that they have had
--   flow:~<counter>       hash: priority and interval of a ring, which is due and taken as one; and how many of its flows have
--                         a priority (at:<priority>)
--   rings                 set: the counters that have a ring
--   due:<priority>        sorted set: flows, and rings as "~<counter>", by the time at which they are worth a look
--   held:<flow>           string: which worker has a flow, or a ring (~<counter>), and what it may have in hand of it
--                         (_flow_leases.lua)
--   rescheduled           set: flows and rings for which a rule that they are charged for, or what is set for them, has changed
--                         while a worker had them
--   priorities            sorted set: the priorities in use
--   retry                 sorted set: jobs that back off, by the time at which they return to their flow
--   expiry                sorted set: flows by the time (milliseconds) at which a waiting job may have waited too long
--   totals                hash: jobs and request bytes of all that are not final; how many bytes may come until the
--                         memory in use is looked at again (spare), and when it was (looked)
--   clock                 string: the time by this Redis as it was noted last
--   rewind                hash: sorted sets that are looked at because the clock has stepped back, to how far they were
--   dead                  sorted set: dead letters by the time at which they failed
--   rule:<id>             hash: revision, json, pace, interval: the rule as its flows know it, while there are any; paused
--                         (1, or 0: resumed), where that was decided after it had been deleted or disabled
--   rule:<id>:flows       set: the flows that are charged for a rule
--   revisions             hash: the revision up to which the flows of a rule that changed have been rescheduled
--   owner:<owner>         sorted set: an owner's jobs by submission; goes with the last of their records
--   idem:<owner>:<key>    string: "<job id> <fingerprint>"
--   settings              hash, in the first partition: "<rule id>|<descriptor>" to what operators have set for the flows of
--                         that descriptor under the rule, as JSON (set_flow.lua)
--   settings_until        sorted set, in the first partition: settings with a temporary value, by when the first one ends
--   settings_ended        hash, in the first partition: for each temporary value that has ended, its end's version to a note
--                         for the audit (end_flow_settings.lua)
--   settings_version      string, in the first partition: a number that rises with each change of settings
--   settings_applied      string: the version up to which the flows of this partition have been looked at again
--   kafka                 hash: for each job from Kafka that is not final: "-" while its message was not read, "+" once
--                         its message is known to be in Kafka, then "<partition> <offset> <bytes>"
--   spilled               sorted set: flows with spilled jobs, by the time at which they are worth a look
--   unread                sorted set: flows by the submission of a job that may be awaiting its message
--   caught_up             hash: a Kafka partition to the time (milliseconds) up to which it has been read
--   outbox                sorted set: dead letters to be published to Kafka, by the time at which to try
--   operation:<id>        string: what the last batch of long work did (_batches.lua)
--   outcomes              stream: an entry for the jobs that one call ended: n, how many, and jobs, for each two lines, its id
--                         and the first line of its record; for an hour at most
--   outcomes:kept         string: how many jobs the entries of `outcomes` have, and bytes of their lines
--
-- The name of a flow says what its jobs are charged for: "<rule id>|<descriptor>;<rule id>|<descriptor>>caller", the
-- rule that deferred them first, the caller only where no descriptor names it. All times are microseconds of TIME, except
-- for those in records, which are milliseconds.

local P = KEYS[1]
local call = redis.call
local find, sub, match, format, concat = string.find, string.sub, string.match, string.format, table.concat

local function now_us()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A whole number as text. Lua writes a number with seventeen digits, which takes several times as long as %d; %.0f is as
-- slow, but the debt of a quota of a few units a year may be longer than %d can tell. Many numbers of a call are the same.
local texts = {}
local function int(number)
  local text = texts[number]
  if not text then
    text = format(number < 9e15 and '%d' or '%.0f', number)
    texts[number] = text
  end
  return text
end

-- Whether a text comes before another one, byte by byte, as in sorted sets: Lua's `<` follows the locale.
local function comes_before(one, other)
  for at = 1, math.min(#one, #other) do
    local byte, another = string.byte(one, at), string.byte(other, at)
    if byte ~= another then
      return byte < another
    end
  end
  return #one < #other
end

-- The list of a group: of a rule, an owner, a priority. An empty one where there is none yet.
local function list_of(groups, group)
  local list = groups[group]
  if not list then
    list = {}
    groups[group] = list
  end
  return list
end

-- Appends one value, or a pair.
local function push(list, first, second)
  local n = #list
  list[n + 1], list[n + 2] = first, second
end

local function flow_key(flow)
  return P .. 'flow:' .. flow
end

local function fifo_key(flow)
  return P .. 'flow:' .. flow .. ':jobs'
end

local function spilled_key(flow)
  return P .. 'flow:' .. flow .. ':spilled'
end

local function awaiting_key(flow)
  return P .. 'flow:' .. flow .. ':awaiting'
end

local function held_key(unit)
  return P .. 'held:' .. unit
end

local function ring_key(counter)
  return P .. 'ring:' .. counter
end

local function job_key(id)
  return P .. 'job:' .. id
end

-- Whether a unit of `due` is a ring; else it is a flow.
local function is_ring(unit)
  return string.byte(unit) == 126 -- '~'
end

local function rule_of(flow)
  return sub(flow, 1, find(flow, '|', 1, true) - 1)
end

local function rule_key(rule)
  return P .. 'rule:' .. rule
end

-- A counter that a flow's jobs are charged for, and where in the name the next one begins; nil after the last one.
local function counter_at(flow, from)
  local separator = find(flow, ';', from, true)
  if separator then
    return sub(flow, from, separator - 1), separator + 1
  end
  return sub(flow, from, (find(flow, '>', from, true) or 0) - 1) -- -1 is the last character
end
