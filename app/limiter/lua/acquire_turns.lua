-- Acquire slots for flows that take turns because they wait for the same counter: round after round, each flow in its order
-- gets one slot, until it has as many as it asks for, one of its other quotas lets it wait, or the counter that they share
-- has none left. Flows that do not come up are not looked at.
--
-- A slot is the earliest time from now + lead on at which every quota of the flow permits a request.
--
-- USES   _acquiring
-- KEYS   each counter once, those of the shared rule first (the longest window before the others); then the backlog marker of each turn that has one
-- ARGV   1 most           slots for all of them together
--        2 horizon_us     how far ahead a slot may lie
--        3 lead_us        how far ahead a slot must lie
--        4 seen_us        the second part of the markers' values
--        5 place          the names of places in flight begin so; the number of the turn, a dot and that of its slot follow
--        6 shared         how many of the counters are those of the shared rule
--        7 count          how many counters; then for each five: algorithm, interval_us, units, window, revision
--        then for each turn three: n (the most slots), marker_ttl_ms (0: without a marker), how many quotas; and for each
--          of these two: the number of its counter, cost
-- RETURN integers: now in microseconds of TIME; then for each turn that was looked at two: how many slots, next_wait_us
--        (until the slot after those); the slots as waits in microseconds; for each of its quotas wait_us
-- COST   O(n) for each quota of the turns that are looked at

local HEADER, PER_COUNTER, PER_TURN, PER_CHARGE = 7, 5, 3, 2

local max, ceil = math.max, math.ceil

local most, horizon, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local seen_us, place, shared, count = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local quotas = {}
local function quota_of(number, cost)
  local quota = quotas[number]
  if not quota then
    local first = HEADER + (number - 1) * PER_COUNTER
    local name, interval, units, window, revision = unpack(ARGV, first + 1, first + PER_COUNTER)
    quota = load_quota(KEYS[number], name, interval, units, window, revision, cost)
    quotas[number] = quota
  end
  quota.cost = cost
  return quota
end

local function earliest(charge)
  local quota = quota_of(charge.number, charge.cost)
  return quota.algorithm.earliest(quota, horizon)
end

local function next_slot(turn)
  local slot = lead
  for _, charge in ipairs(turn.charges) do
    slot = max(slot, earliest(charge))
  end
  return ceil(slot)
end

local function spend(turn, number, slot)
  turn.slots[#turn.slots + 1] = slot
  local name = place .. number .. '.' .. #turn.slots
  for _, charge in ipairs(turn.charges) do
    local quota = quota_of(charge.number, charge.cost)
    quota.algorithm.spend(quota, slot, name)
    quota.changed = true
  end
end

local turns, at, marker = {}, HEADER + count * PER_COUNTER + 1, count
while at <= #ARGV do
  local turn = { n = tonumber(ARGV[at]), marker_ttl_ms = ARGV[at + 1], charges = {}, slots = {}, waits = false }
  if turn.marker_ttl_ms ~= '0' then
    marker = marker + 1
    turn.marker = KEYS[marker]
  end
  for i = 1, tonumber(ARGV[at + 2]) do
    local first = at + PER_TURN + (i - 1) * PER_CHARGE
    turn.charges[i] = { number = tonumber(ARGV[first]), cost = tonumber(ARGV[first + 1]) }
  end
  turns[#turns + 1] = turn
  at = at + PER_TURN + #turn.charges * PER_CHARGE
end

-- Whether a counter that all share lets this turn wait: they come first in each.
local function is_over(turn)
  for _, charge in ipairs(turn.charges) do
    if charge.number > shared then
      return false
    end
    if ceil(earliest(charge)) > horizon then
      return true
    end
  end
  return false
end

local granted, looked_at = 0, 0
local function serve_round()
  local progress = false
  for i, turn in ipairs(turns) do
    if granted == most or is_over(turn) and i > 1 then
      return false
    end
    looked_at = max(looked_at, i)
    if not turn.waits and #turn.slots < turn.n then
      local slot = next_slot(turn)
      turn.waits = slot > horizon
      if not turn.waits then
        spend(turn, i, slot)
        granted, progress = granted + 1, true
      end
    end
  end
  return progress
end

while serve_round() do end

local reply = { now }
for i = 1, looked_at do
  local turn = turns[i]
  reply[#reply + 1], reply[#reply + 2] = #turn.slots, next_slot(turn)
  for _, slot in ipairs(turn.slots) do
    reply[#reply + 1] = slot
  end
  for _, charge in ipairs(turn.charges) do
    reply[#reply + 1] = max(0, ceil(earliest(charge)))
    ask_for_place(quota_of(charge.number, charge.cost), horizon)
  end
  if turn.marker then
    redis.call('SET', turn.marker, turn.marker_ttl_ms .. ' ' .. seen_us, 'PX', turn.marker_ttl_ms)
  end
end
for _, quota in pairs(quotas) do
  if quota.changed then
    save_quota(quota)
  end
end
return reply
