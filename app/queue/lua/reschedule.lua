-- A rule changed: its flows are worth a look when the new rate allows one. One page of them.
--
-- A flow that has the rule's revision already was rescheduled by another worker. Where nothing but the rate changed, a
-- waiting flow's time is what it owes at the new rate; else it is looked at now.
--
-- USES  _names
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 cursor   3 count   4 revision ('' for a rule that is gone)   5 priority   6 rule_json   7 interval_us
--       8 1 where the rule defers
-- RETURN {next cursor, flows rescheduled}

local gone = ARGV[4] == ''
local now = now_us()

-- What else decides when a flow may go on: its counter and how much that may owe.
local function pace(rule_json)
  local rule = cjson.decode(rule_json)
  local quota = rule.drain or rule
  return table.concat({
    rule.drain and 'drain' or 'live', rule.drain and 'gcra' or rule.algorithm or 'gcra',
    quota.burst or (rule.drain and 1 or rule.limit), rule.cost or 1,
  }, ' ')
end

-- By how much the time between two jobs changes, where nothing else does; nil where something does.
local old_revision, old_json, old_interval = unpack(
  call('HMGET', rule_key(ARGV[1]), 'revision', 'json', 'interval'))
local rate
if not gone and old_json and pace(old_json) == pace(ARGV[6]) then
  rate = tonumber(ARGV[7]) / tonumber(old_interval)
end

local function move(flow, due, from, to)
  call('ZREM', P .. 'due:' .. from, flow)
  call('HSET', flow_key(flow), 'priority', to)
  call('ZADD', P .. 'priorities', to, to)
  if due then
    call('ZADD', P .. 'due:' .. to, int(due), flow)
  end
end

-- When a flow that waits is worth a look, or nil where it waits for no longer than it should.
local function look_at(due, revision)
  if not rate or not due or revision ~= old_revision then
    return now
  end
  if rate < 1 and due > now then
    return now + (due - now) * rate
  end
end

local rescheduled = 0
local page = call('SSCAN', rule_key(ARGV[1]) .. ':flows', ARGV[2], 'COUNT', ARGV[3])
for _, flow in ipairs(page[2]) do
  local key = flow_key(flow)
  local revision, held, priority, parked = unpack(call('HMGET', key, 'revision', 'held', 'priority', 'parked'))
  if revision and (parked or gone or tonumber(revision) < tonumber(ARGV[4])) then
    rescheduled = rescheduled + 1
    local due = tonumber(call('ZSCORE', P .. 'due:' .. priority, flow) or nil)
    if not gone then
      if priority ~= ARGV[5] then
        move(flow, due, priority, ARGV[5])
        priority = ARGV[5]
      end
      call('HSET', key, 'revision', ARGV[4])
    end
    if parked then
      call('HDEL', key, 'parked')
    end
    -- Who holds a flow reads the rule again before its next slots.
    local at = look_at(due, revision)
    if at and tonumber(held or 0) < now and (due or call('LLEN', list_key(flow)) > 0) then
      call('ZADD', P .. 'due:' .. priority, int(at), flow)
    end
  end
end

local is_last = page[1] == '0'
if is_last and gone then
  call('HDEL', P .. 'revisions', ARGV[1])
elseif is_last then
  if old_revision and tonumber(ARGV[4]) > tonumber(old_revision) then
    call('HSET', rule_key(ARGV[1]), 'revision', ARGV[4], 'json', ARGV[6], 'interval', ARGV[7])
  end
  if ARGV[8] == '1' and tonumber(ARGV[4]) > tonumber(call('HGET', P .. 'revisions', ARGV[1]) or 0) then
    call('HSET', P .. 'revisions', ARGV[1], ARGV[4])
  end
end
if rescheduled > 0 then
  call('PUBLISH', P .. 'wake', '')
end
return { page[1], rescheduled }
