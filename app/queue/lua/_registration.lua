-- What rules and counters know of the flows that are charged for them, and what flows know of their rules.
--
-- USES _names

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

-- Counts open flows by counter. counters: which change; changes: counter to by how much; sign: 1 for more, -1 for fewer
local function count_flows(counters, changes, sign)
  local set, gone = {}, {}
  for i, count in ipairs(call('HMGET', P .. 'counters', unpack(counters))) do
    local counter = counters[i]
    local flows = (count or 0) + sign * changes[counter]
    if flows > 0 then
      local n = #set
      set[n + 1], set[n + 2] = counter, int(flows)
    else
      gone[#gone + 1] = counter
    end
  end
  if #set > 0 then
    call('HSET', P .. 'counters', unpack(set))
  end
  if #gone > 0 then
    call('HDEL', P .. 'counters', unpack(gone))
  end
end

-- Flows by the rules that they are charged for; their counters, and how many of these flows are charged for each.
local function by_rule_and_counter(flows)
  local of_rule, counters, of_counter = {}, {}, {}
  for _, flow in ipairs(flows) do
    local counter, from = nil, 1
    while from do
      counter, from = counter_at(flow, from)
      local of_this, count = list_of(of_rule, rule_of(counter)), of_counter[counter]
      of_this[#of_this + 1] = flow
      of_counter[counter] = (count or 0) + 1
      if not count then
        counters[#counters + 1] = counter
      end
    end
  end
  return of_rule, counters, of_counter
end

-- What a new flow must know of its rule: fields of its hash.
local function fields_of_rule(rule, behind)
  return 'revision', behind and '0' or rule.revision, 'priority', rule.priority, 'max_wait', rule.max_wait
end

-- Makes new flows known to the rules and counters that they are charged for.
local function register_flows(flows)
  local of_rule, counters, of_counter = by_rule_and_counter(flows)
  for rule, of_this in pairs(of_rule) do
    call('SADD', rule_key(rule) .. ':flows', unpack(of_this))
  end
  count_flows(counters, of_counter, 1)
end

-- Flows are gone, and so is a rule with its last flow.
local function unregister_flows(flows)
  local of_rule, counters, of_counter = by_rule_and_counter(flows)
  for rule, of_this in pairs(of_rule) do
    local key = rule_key(rule)
    call('SREM', key .. ':flows', unpack(of_this))
    if call('EXISTS', key .. ':flows') == 0 then
      call('DEL', key)
    end
  end
  count_flows(counters, of_counter, -1)
end
