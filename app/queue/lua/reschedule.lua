-- A rule changed: the flows that are charged for it are worth a look when the new rate allows one. One page of them.
--
-- A flow that has the rule's revision already was rescheduled by another worker. Where nothing but the rate of a flow's own
-- rule changed, a waiting flow's time is what it owes at the new rate; otherwise it is looked at now.
--
-- USES  _rings _hurrying _registration
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 cursor   3 count   4 revision ('' for a rule that is gone)   5 priority   6 json   7 interval_us
--       8 pace: what besides the rate decides when a flow may go on   9 1 where the rule defers
-- RETURN {next cursor, flows rescheduled}
-- COST  O(log n) a flow, 100 flows a call at most

local rule, cursor, count, revision = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local priority, json, interval, pace, defers = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1'
local gone = revision == ''
local now = now_us()

-- By how much the time between two jobs changes, where nothing else does; nil where something does.
local old_revision, old_pace, old_interval = unpack(call('HMGET', rule_key(rule), 'revision', 'pace', 'interval'))
local ratio
if not gone and old_pace == pace and tonumber(old_interval) > 0 then
  ratio = tonumber(interval) / tonumber(old_interval)
end

local function move(flow, due, from, to)
  local ring = call('HGET', flow_key(flow), 'ring')
  call('ZADD', P .. 'priorities', to, to)
  set_priority(flow, from, to, not ring and due)
  if ring then
    add_priority_to_ring('~' .. ring, to)
    remove_priority_from_ring('~' .. ring, from)
  end
end

-- When a waiting flow is worth a look, or nil where it waits for no longer than it should.
local function next_look_at(due, known)
  if not ratio or not due or known ~= old_revision then
    return now
  end
  if ratio < 1 and due > now then
    return now + (due - now) * ratio
  end
end

local function reschedule_own(flow, known, parked, of_flow)
  local due = tonumber(call('ZSCORE', P .. 'due:' .. of_flow, flow) or nil)
  if not gone then
    if of_flow ~= priority then
      move(flow, due, of_flow, priority)
    end
    call('HSET', flow_key(flow), 'revision', revision)
    call('HDEL', flow_key(flow), 'interval') -- as the new rate says, until the flow has waited for a limit again
  end
  if parked then
    call('HDEL', flow_key(flow), 'parked')
  end
  local at = next_look_at(due, known)
  if at then
    hurry(flow, at, now)
  end
end

local rescheduled = 0
local page = call('SSCAN', rule_key(rule) .. ':flows', cursor, 'COUNT', count)
for _, flow in ipairs(page[2]) do
  local known, of_flow, parked = unpack(call('HMGET', flow_key(flow), 'revision', 'priority', 'parked'))
  if known and rule_of(flow) ~= rule then
    if not parked then
      hurry(flow, now, now)
      rescheduled = rescheduled + 1
    end
  elseif known and (parked or gone or tonumber(known) < tonumber(revision)) then
    reschedule_own(flow, known, parked, of_flow)
    rescheduled = rescheduled + 1
  end
end

local is_last = page[1] == '0'
if is_last and gone then
  call('HDEL', P .. 'revisions', rule)
elseif is_last then
  if old_revision and tonumber(revision) > tonumber(old_revision) then
    know_rule(rule, revision, json, pace, interval)
  end
  if defers and tonumber(revision) > tonumber(call('HGET', P .. 'revisions', rule) or 0) then
    call('HSET', P .. 'revisions', rule, revision)
  end
end
if rescheduled > 0 then
  call('PUBLISH', P .. 'wake', '')
end
return { page[1], rescheduled }
