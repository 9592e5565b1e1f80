-- Flows: how many jobs wait there, what the next cost, when they are worth a look.
--
-- USES _names _records

local function due_key(flow)
  return P .. 'due:' .. (call('HGET', flow_key(flow), 'priority') or '0')
end

-- How many jobs wait in a flow, those on Kafka too.
local function waiting(flow)
  return call('LLEN', list_key(flow)) + call('LLEN', spilled_key(flow))
    + call('ZCARD', awaiting_key(flow))
end

-- How many of a flow's first entries cost the same as the very first, and what that is.
local function same_cost_prefix(entries)
  if #entries == 0 then
    return 0, ''
  end
  local _, _, charges = parse_entry(entries[1])
  local tail, run = ' ' .. charges, 1 -- which holds no other space
  while run < #entries and string.sub(entries[run + 1], -#tail) == tail do
    run = run + 1
  end
  return run, charges
end

-- The same of the next n jobs.
local function peek_same_cost_prefix(flow, n)
  return same_cost_prefix(call('LRANGE', list_key(flow), 0, n - 1))
end

-- A flow is in `due` while it has jobs that may be sent, or while a worker holds it.
local function make_due(flow, at, only_if_absent)
  local key = flow_key(flow)
  if call('HEXISTS', key, 'parked') == 1 then
    return
  end
  if only_if_absent then
    if call('ZADD', due_key(flow), 'NX', int(at), flow) == 1 then
      call('PUBLISH', P .. 'wake', '')
    end
  else
    call('ZADD', due_key(flow), int(at), flow)
  end
end

-- `deadline` as text.
local function watch_expiry(flow, deadline)
  call('ZADD', P .. 'expiry', 'LT', deadline, flow)
end

-- A flow that may be new, and what it must know of its rule; `known` is the revision that it has. Returns whether the
-- caller's is behind one that the flows were rescheduled for: such a caller can't know when a flow may go on.
--
-- A later revision than the flows know is the workers' to bring, who look at them then; unless they are past it.
local function enter_flow(flow, known, priority, revision, rule_json, interval)
  if known == revision then
    return false
  end
  local rule = rule_of(flow)
  local of_rule = call('HGET', rule_key(rule), 'revision')
  local rescheduled = tonumber(call('HGET', P .. 'revisions', rule) or 0)
  local is_behind = tonumber(revision) < rescheduled
  if not known then
    call('SADD', rule_key(rule) .. ':flows', flow)
    call('HSET', flow_key(flow), 'revision', is_behind and '0' or revision, 'priority', priority)
    call('ZADD', P .. 'priorities', priority, priority)
  end
  if not of_rule or tonumber(revision) > tonumber(of_rule) and tonumber(revision) <= rescheduled then
    call('HSET', rule_key(rule), 'revision', revision, 'json', rule_json, 'interval', interval)
  end
  return is_behind
end
