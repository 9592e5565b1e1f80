-- Slots of several quotas at once: all of them are spent, or none.
--
-- A slot is the earliest time from now + lead on that every enforced quota permits. A quota is of one of two kinds:
--
-- GCRA (ITU-T I.371), with emission interval e and burst tolerance tau = e * burst: a request of cost c conforms at time
-- t when max(tat, t) + e*c - tau <= t, and sets tat to max(tat, t) + e*c. However the grants are ordered, no stretch of
-- T microseconds holds more than burst + T/e units: tat grows by e with every unit, and a unit at t leaves it between
-- t + e and t + tau.
--
-- Sliding window, a log of the slots granted: with c more units, the unit that stands `limit` before the last of them
-- must be a window old. No window, wherever it begins, holds more than `limit`.
--
-- USES  _gcra
-- KEYS  for each quota two: its counter, its backlog marker
-- ARGV  1 n           how many slots at most
--       2 horizon_us  how far ahead a slot may lie
--       3 lead_us     how far ahead it must lie
--       4 peek        1: nothing is written
--       5 marker      the value that the first quota's backlog marker is set to; empty: it is left alone
--       6 marker_ttl_ms
--       then for each quota five: e_us (window_us for a sliding window), burst (limit for one), revision, cost,
--       flags (1 shadow, 2 heeds the backlog marker, 4 sliding window)
-- RETURN integers: granted, next_wait_us, now in microseconds of TIME, the granted slots as waits in microseconds, then
--        for each quota remaining, wait_us, reset_us, refused, backlog
--
-- A log is a list of slots in microseconds of TIME at `<counter>:log`, beside it the string "window limit revision" at
-- `<counter>:log:policy`: converted as _gcra.lua says of counters. Here all times are relative to now: a double holds the
-- microseconds of this century only to a quarter, which would add up over many slots.

local HEADER, PER_QUOTA = 6, 5
local NEVER = 1e15

-- In locals: each of them is looked up many times a call.
local call, format, match = redis.call, string.format, string.match
local max, ceil, floor = math.max, math.ceil, math.floor

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local n, horizon, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local peek = ARGV[4] == '1'

---------------------------------------------------------------------------------------------------------- GCRA
local gcra = {}

function gcra.load(quota)
  local stored = call('GET', quota.key)
  if stored then
    quota.tat, quota.e, quota.burst, quota.parameters, quota.changed = as_it_stands(
      stored, now, quota.e, quota.burst, quota.parameters)
  end
  quota.tau = quota.e * quota.burst
  quota.step = quota.e * quota.cost
end

function gcra.earliest(quota)
  if quota.cost > quota.burst then
    return horizon + quota.step -- never allowed
  end
  return quota.tat + quota.step - quota.tau - ROUNDING_US
end

function gcra.spend(quota, slot)
  quota.tat = max(quota.tat, slot) + quota.step
end

function gcra.remaining(quota)
  return floor((quota.tau - max(0, quota.tat) + ROUNDING_US) / quota.e)
end

function gcra.reset(quota)
  return max(0, quota.tat)
end

function gcra.save(quota)
  store(quota.key, now, quota.tat, quota.parameters)
end

------------------------------------------------------------------------------------------------- sliding window
local function sliding_window()
  local sliding = {}

  local function at(quota, index) -- from 1; the log as it stands, then what is added to it now
    if index <= quota.length then
      return call('LINDEX', quota.log, index - 1) - now
    end
    return quota.added[index - quota.length]
  end

  function sliding.load(quota)
    quota.window, quota.limit, quota.added = quota.e, quota.burst, {}
    quota.log, quota.policy = quota.key .. ':log', quota.key .. ':log:policy'
    local stored = call('GET', quota.policy)
    local drop_future = false
    if stored and stored ~= quota.parameters then
      local stored_window, stored_limit, revision = match(stored, '^(%S+) (%S+) (%S+)$')
      if tonumber(revision) < quota.revision then
        drop_future, quota.changed = true, true
      else
        quota.window, quota.limit, quota.parameters = tonumber(stored_window), tonumber(stored_limit), stored
      end
    end
    quota.length = call('LLEN', quota.log)
    local dropped = 0
    while drop_future and dropped < quota.length and at(quota, quota.length - dropped) > 0 do
      dropped = dropped + 1
    end
    quota.length = quota.length - dropped
    if dropped > 0 and not peek then
      call('LTRIM', quota.log, 0, -1 - dropped)
    end
    quota.old = 0 -- how many at the head are a window old: they count no more
    local low, high = 0, quota.length
    while low < high do
      local middle = ceil((low + high) / 2)
      if at(quota, middle) <= -quota.window then
        low = middle
      else
        high = middle - 1
      end
    end
    quota.old = low
  end

  function sliding.earliest(quota)
    if quota.cost > quota.limit then
      return NEVER
    end
    local length = quota.length + #quota.added
    local slot = length > 0 and at(quota, length) or -NEVER
    local index = length - quota.limit + quota.cost
    if index >= 1 then
      slot = max(slot, at(quota, index) + quota.window)
    end
    return slot
  end

  function sliding.spend(quota, slot)
    for _ = 1, quota.cost do
      quota.added[#quota.added + 1] = slot
    end
  end

  function sliding.remaining(quota)
    return quota.limit - (quota.length - quota.old + #quota.added)
  end

  function sliding.reset(quota)
    local length = quota.length + #quota.added
    return length > quota.old and max(0, at(quota, length) + quota.window) or 0
  end

  function sliding.save(quota)
    local for_ms = max(SHORTEST_MS, ceil(sliding.reset(quota) / 1000))
    call('LTRIM', quota.log, quota.old, -1)
    for _, slot in ipairs(quota.added) do
      call('RPUSH', quota.log, format('%d', now + slot))
    end
    call('PEXPIRE', quota.log, for_ms)
    call('SET', quota.policy, quota.parameters, 'PX', for_ms)
  end

  return sliding
end

-------------------------------------------------------------------------------------------------------- decision
local function heed_backlog(marker_key)
  local marker = call('GET', marker_key)
  if not marker then
    return 0
  end
  if not peek then -- as long as requests are deferred because of it, it must not fade away
    call('PEXPIRE', marker_key, (match(marker, '^(%d+)')))
  end
  return 1
end

local quotas, count = {}, #KEYS / 2
local blocked, sliding = false, nil
for i = 1, count do
  local first = HEADER + (i - 1) * PER_QUOTA
  local e, burst, revision, flags = ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], tonumber(ARGV[first + 5])
  local kind = gcra
  if flags >= 4 then
    sliding = sliding or sliding_window()
    kind = sliding
  end
  local quota = {
    kind = kind,
    key = KEYS[2 * i - 1],
    e = tonumber(e),
    burst = tonumber(burst),
    revision = tonumber(revision),
    parameters = e .. ' ' .. burst .. ' ' .. revision,
    cost = tonumber(ARGV[first + 4]),
    enforced = flags % 2 == 0,
    backlog = flags % 4 >= 2 and heed_backlog(KEYS[2 * i]) or 0,
    refused = 0,
    changed = false,
    tat = 0, -- a counter that is not there owes nothing
    tau = 0,
    step = 0,
  }
  kind.load(quota)
  blocked = blocked or quota.backlog == 1
  quotas[i] = quota
end

local function next_slot()
  local slot = lead
  for i = 1, count do
    local quota = quotas[i]
    if quota.enforced then
      slot = max(slot, quota.kind.earliest(quota))
    end
  end
  return ceil(slot)
end

local slots = {}
local slot = next_slot()
while not blocked and #slots < n and slot <= horizon do
  slots[#slots + 1] = slot
  for i = 1, count do
    local quota = quotas[i]
    local permitted = quota.enforced or quota.kind.earliest(quota) <= slot
    if not permitted then
      quota.refused = 1
    elseif not peek then
      quota.kind.spend(quota, slot)
      quota.changed = true
    end
  end
  slot = next_slot()
end

local reply = { #slots, slot, now, unpack(slots) }
local last = #reply
for i = 1, count do
  local quota = quotas[i]
  local kind = quota.kind
  local wait = max(0, ceil(kind.earliest(quota)))
  if #slots == 0 and wait > horizon then
    quota.refused = 1
  end
  reply[last + 1], reply[last + 2], reply[last + 3] = max(0, kind.remaining(quota)), wait, ceil(kind.reset(quota))
  reply[last + 4], reply[last + 5] = quota.refused, quota.backlog
  last = last + 5
  if quota.changed and not peek then
    kind.save(quota)
  end
end
if ARGV[5] ~= '' and not peek then
  call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6])
end
return reply
