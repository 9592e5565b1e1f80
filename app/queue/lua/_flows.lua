-- Flows: when they are worth a look, and how those take turns that wait for the same counter.
--
-- A flow that has waiting jobs stands in `due`, or in the ring of the counter that it waits for where other open flows are
-- charged for that counter too. A ring is due as one: a worker takes it and serves its flows in turns, so that what
-- waits for a shared counter gets its slots round robin, whatever the depths.
--
-- USES _names _records

local function due_key(unit)
  return P .. 'due:' .. (call('HGET', flow_key(unit), 'priority') or '0')
end

local function waiting(flow)
  return call('ZCARD', fifo_key(flow)) + call('ZCARD', spilled_key(flow)) + call('ZCARD', awaiting_key(flow))
end

-- How many of the next jobs cost the same as the very first, at most n, and what that is.
local function same_cost_prefix(flow, n)
  local members = call('ZRANGE', fifo_key(flow), 0, n - 1)
  if #members == 0 then
    return 0, '-'
  end
  local _, costs = parse_member(members[1])
  local same = 1
  while same < #members do
    local _, next_costs = parse_member(members[same + 1])
    if next_costs ~= costs then
      break
    end
    same = same + 1
  end
  return same, costs
end

-- What a worker is told of a flow: depth, same_cost, costs. depth: how many jobs wait, those on Kafka too; same_cost: how
-- many of the next jobs cost the same, looking at `look` jobs at most where not all do; costs: what they cost. mixed, kafka:
-- these fields of its hash
local function describe(flow, mixed, kafka, look)
  local here = call('ZCARD', fifo_key(flow))
  local depth = kafka and waiting(flow) or here
  if mixed then
    return depth, same_cost_prefix(flow, look)
  end
  return depth, here, '-'
end

-- A lease notes its token and the last job of a flow that it gave out (`unsent`), until the worker says that all of them
-- were sent or have returned. A worker that was stopped for longer than its flow lease may still have some in hand, and
-- nobody may send those behind them before they return. It sends in order: once the last one has an outcome, none is left.
local function is_unsent_by_another(unsent, token)
  local space = unsent and find(unsent, ' ', 1, true)
  if not space or sub(unsent, 1, space - 1) == token then
    return false
  end
  local state = call('HGET', P .. 'state', sub(unsent, space + 1))
  return state and sub(state, 1, 8) == 'running '
end

-- The same for a flow whose hash was not read; nil where another worker may have jobs of it in hand.
local function look_at(flow, look, token)
  local mixed, kafka, unsent = unpack(call('HMGET', flow_key(flow), 'mixed', 'kafka', 'unsent'))
  if is_unsent_by_another(unsent, token) then
    return nil
  end
  return describe(flow, mixed, kafka, look)
end

-- Appends a flow to a reply, which is flat: Redis sends each table of a reply by itself.
local function push_flow(reply, flow, depth, same_cost, costs)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = flow, depth, same_cost, costs
end

-- The counter of a flow for which others wait in a ring, nil without any.
local function contended_counter(flow)
  for _, counter in ipairs(counters_of(flow)) do
    if call('SISMEMBER', P .. 'rings', counter) == 1 then
      return counter
    end
  end
end

-- A flow or a ring gets another priority. due: the time at which it is due, nil or false where it is not
local function set_priority(unit, old, priority, due)
  call('HSET', flow_key(unit), 'priority', priority)
  if due then
    call('ZREM', P .. 'due:' .. old, unit)
    call('ZADD', P .. 'due:' .. priority, due, unit)
  end
end

-- A ring has the highest priority of its flows.
local function set_ring_priority(unit, old, priority)
  set_priority(unit, old, priority, old and call('ZSCORE', P .. 'due:' .. old, unit))
end

local function add_priority_to_ring(unit, priority)
  local key = flow_key(unit)
  call('HINCRBY', key, 'at:' .. priority, 1)
  local old = call('HGET', key, 'priority')
  if not old or tonumber(priority) > tonumber(old) then
    set_ring_priority(unit, old, priority)
  end
end

-- There are as many fields to look at as rules have priorities.
local function remove_priority_from_ring(unit, priority)
  local key, field = flow_key(unit), 'at:' .. priority
  if call('HINCRBY', key, field, -1) > 0 then
    return
  end
  call('HDEL', key, field)
  local highest
  for _, name in ipairs(call('HKEYS', key)) do
    local other = tonumber(match(name, '^at:(.+)$') or nil)
    if other and other > (highest or -math.huge) then
      highest = other
    end
  end
  local old = call('HGET', key, 'priority')
  if highest and highest < tonumber(old) then
    set_ring_priority(unit, old, int(highest))
  end
end

local function leave_ring(flow, counter)
  local ring, unit, key = ring_key(counter), '~' .. counter, flow_key(flow)
  call('ZREM', ring, flow)
  call('HDEL', key, 'ring')
  if call('EXISTS', ring) == 0 then
    call('ZREM', due_key(unit), unit)
    call('DEL', flow_key(unit))
    call('SREM', P .. 'rings', counter)
  else
    remove_priority_from_ring(unit, call('HGET', key, 'priority') or '0')
  end
end

local TURN = 1048576 -- what a turn adds to a flow's score in its ring

-- Its flows have been given so many turns; fewer than none for slots that were missed.
local function count_turns(flow, counter, turns)
  call('ZINCRBY', ring_key(counter), int(TURN * turns), flow)
end

-- A flow joins behind all others of the ring: whoever comes and goes gets no more turns than those who stay.
--
-- due: when the ring may be worth a look, nil where it is there already
local function join_ring(flow, counter, due, interval)
  local unit, ring = '~' .. counter, ring_key(counter)
  local priority = call('HGET', flow_key(flow), 'priority') or '0'
  call('ZREM', P .. 'due:' .. priority, flow)
  call('HSET', flow_key(flow), 'ring', counter)
  local last = call('ZRANGE', ring, -1, -1, 'WITHSCORES')[2]
  call('ZADD', ring, int((last or 0) + 1), flow)
  call('SADD', P .. 'rings', counter)
  add_priority_to_ring(unit, priority)
  if interval then
    call('HSET', flow_key(unit), 'interval', interval)
  end
  if due and call('HEXISTS', flow_key(unit), 'token') == 0 then
    call('ZADD', due_key(unit), 'LT', int(due), unit)
  end
end

local LOOK_AGAIN_US = 50000

-- Another worker may have jobs of the flow in hand: it is looked at again, and holds up nobody in its ring.
local function stand_aside(flow, counter, now)
  leave_ring(flow, counter)
  call('ZADD', due_key(flow), int(now + LOOK_AGAIN_US), flow)
end

-- A flow has nothing more to wait for: out of `due` and of its ring.
local function rest(flow)
  local ring = call('HGET', flow_key(flow), 'ring')
  if ring then
    leave_ring(flow, ring)
  else
    call('ZREM', due_key(flow), flow)
  end
end

local SOON_US = 1000000

-- When a unit is worth a look that says to wait until `due` for a counter. A rule that changed while a worker held the unit,
-- or that the worker knows in an earlier revision than the flows do, says something else: it is looked at again.
--
-- revision: of the counter's rule as the worker knows it, '' where that does not matter; rescheduled: this field of its hash
local function believable_due(counter, due, now, revision, rescheduled)
  if rescheduled then
    return now
  end
  if revision ~= '' and counter and due > now + SOON_US then
    local known = call('HGET', rule_key(rule_of(counter)), 'revision')
    if known and tonumber(revision) < tonumber(known) then
      return now + LOOK_AGAIN_US
    end
  end
  return due
end

-- A flow waits until `due`, for the counter that is named; in its ring where other flows are charged for it.
local function wait_for(flow, counter, due, interval)
  if counter then
    call('HSET', flow_key(flow), 'waits_for', rule_of(counter), 'interval', interval)
  end
  if counter and tonumber(call('HGET', P .. 'counters', counter) or 0) > 1 then
    join_ring(flow, counter, due, interval)
  else
    call('ZADD', due_key(flow), int(due), flow)
  end
end

-- Changes `due` for many flows and rings. added: priority to {time, unit, time, unit...}; removed: priority to {unit...}
local function update_due(added, removed)
  for priority, units in pairs(added) do
    call('ZADD', P .. 'due:' .. priority, unpack(units))
  end
  for priority, units in pairs(removed) do
    call('ZREM', P .. 'due:' .. priority, unpack(units))
  end
end

-- Flows that have a waiting job are due, unless they are already. due: priority to {time, flow, time, flow...}
local function make_all_due(due)
  local added = 0
  for priority, flows in pairs(due) do
    added = added + call('ZADD', P .. 'due:' .. priority, 'NX', unpack(flows))
  end
  if added > 0 then
    call('PUBLISH', P .. 'wake', '')
  end
end

-- A flow has a waiting job: it is due at `at`, unless it is due, parked, held by a worker or in a ring already. What its
-- app server asked for is waited for.
local function make_due(flow, at)
  local priority, parked, ring, hold_until, held = unpack(
    call('HMGET', flow_key(flow), 'priority', 'parked', 'ring', 'hold_until', 'held'))
  if not parked and not ring then
    make_all_due({ [priority or '0'] = { int(math.max(at, hold_until or 0, held or 0)), flow } })
  end
end

-- Back to its place in its flow, which is that of its number, to wait there for its next attempt.
local function return_to_place(id, job)
  call('ZADD', fifo_key(job.flow), job.seq, fifo_member(id, job.costs))
  call('ZADD', P .. 'expiry', 'LT', int(job.deadline), job.flow)
  call('HSET', flow_key(job.flow), 'returned', '1')
end

local function return_to_flow(id, job, now)
  return_to_place(id, job)
  make_due(job.flow, now)
end

-- A job is out of `retry`, where its flow has counted it.
local function end_backoff(id, flow)
  if call('ZREM', P .. 'retry', id) == 1 then
    call('HINCRBY', flow_key(flow), 'backing_off', -1)
  end
end

local RETURNED_AT_ONCE = 50

-- Jobs that backed off for long enough return to their flows. Returns whether there may be more.
local function return_retries(now)
  local ids = call('ZRANGEBYSCORE', P .. 'retry', '-inf', int(now), 'LIMIT', 0, RETURNED_AT_ONCE)
  for _, id in ipairs(ids) do
    local job = read_job(id)
    if job and job.status == 'retrying' then
      end_backoff(id, job.flow)
      return_to_flow(id, job, now)
    else
      call('ZREM', P .. 'retry', id)
    end
  end
  return #ids == RETURNED_AT_ONCE
end

-- The flows of a rule know its latest version from now on.
local function know_rule(id, revision, json, pace, interval)
  call('HSET', rule_key(id), 'revision', revision, 'json', json, 'pace', pace, 'interval', interval)
  call('HDEL', rule_key(id), 'paused')
end

-- What a caller knows of a rule meets what the rule's flows know. Returns whether the caller is behind a revision that the
-- flows were rescheduled for: it can't know when a flow may go on.
--
-- A later revision than the flows know is for the workers to bring, who look at the flows then; unless they did already.
--
-- rule: revision, json, pace, interval
local function is_behind(id, rule)
  local known = call('HGET', rule_key(id), 'revision')
  local revision, rescheduled = tonumber(rule.revision), tonumber(call('HGET', P .. 'revisions', id) or 0)
  if not known or revision > tonumber(known) and revision <= rescheduled then
    know_rule(id, rule.revision, rule.json, rule.pace, rule.interval)
  end
  return revision < rescheduled
end

-- Counts open flows by counter. changes: counter to by how much
local function count_flows(changes)
  local counters, set, gone = {}, {}, {}
  for counter in pairs(changes) do
    push(counters, counter)
  end
  for i, count in ipairs(call('HMGET', P .. 'counters', unpack(counters))) do
    local counter = counters[i]
    local flows = (count or 0) + changes[counter]
    if flows > 0 then
      push(set, counter, int(flows))
    else
      push(gone, counter)
    end
  end
  if #set > 0 then
    call('HSET', P .. 'counters', unpack(set))
  end
  if #gone > 0 then
    call('HDEL', P .. 'counters', unpack(gone))
  end
end

-- Flows by the rules that they are charged for, and how many there are by counter.
local function by_rule_and_counter(flows)
  local of_rule, of_counter = {}, {}
  for _, flow in ipairs(flows) do
    for _, counter in ipairs(counters_of(flow)) do
      local of_this = list_of(of_rule, rule_of(counter))
      of_this[#of_this + 1] = flow
      of_counter[counter] = (of_counter[counter] or 0) + 1
    end
  end
  return of_rule, of_counter
end

-- What a new flow must know of its rule: fields of its hash.
local function fields_of_rule(rule, behind)
  return { 'revision', behind and '0' or rule.revision, 'priority', rule.priority, 'max_wait', rule.max_wait }
end

-- Makes new flows known to the rules and counters that they are charged for.
local function register_flows(flows)
  local of_rule, of_counter = by_rule_and_counter(flows)
  for rule, of_this in pairs(of_rule) do
    call('SADD', rule_key(rule) .. ':flows', unpack(of_this))
  end
  count_flows(of_counter)
end

-- Flows are gone, and so is a rule with its last flow.
local function unregister_flows(flows)
  local of_rule, of_counter = by_rule_and_counter(flows)
  for rule, of_this in pairs(of_rule) do
    local key = rule_key(rule)
    call('SREM', key .. ':flows', unpack(of_this))
    if call('EXISTS', key .. ':flows') == 0 then
      call('DEL', key)
    end
  end
  for counter, count in pairs(of_counter) do
    of_counter[counter] = -count
  end
  count_flows(of_counter)
end

-- When a unit that stands in `due` may go on. While a worker holds it, its time there is the end of the flow lease.
local function goes_on_at(due, held, next)
  return next and tonumber(held) == tonumber(due) and next or due
end

-- When a flow's first waiting job may be sent, nil where that is not known; and how long each job takes after it: as the limit
-- says for which the flow waited last, and in a ring as long as a turn of all others. Nil where only the flow's own rule says
-- it. Both in microseconds.
--
-- priority, ring, held, next, interval: these fields of its hash
local function pace_of(flow, priority, ring, held, next, interval, now)
  if not ring then
    local due = call('ZSCORE', P .. 'due:' .. (priority or '0'), flow)
    return due and math.max(0, goes_on_at(due, held, next) - now), tonumber(interval or nil)
  end
  local unit = '~' .. ring
  local ring_interval, ring_held, ring_next, ring_priority = unpack(
    call('HMGET', flow_key(unit), 'interval', 'held', 'next', 'priority'))
  interval = tonumber(ring_interval or 0)
  local due = call('ZSCORE', P .. 'due:' .. (ring_priority or '0'), unit)
  local first_wait = due and math.max(0, goes_on_at(due, ring_held, ring_next) - now) or 0
  local rank = call('ZRANK', ring_key(ring), flow) or 0
  return first_wait + rank * interval, interval * call('ZCARD', ring_key(ring))
end
