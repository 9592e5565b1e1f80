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
-- KEYS  for each quota two: its counter, its backlog marker
-- ARGV  1 n           how many slots at most
--       2 horizon_us  how far ahead a slot may lie
--       3 lead_us     how far ahead it must lie
--       4 peek        1: nothing is written
--       5 marker      the value that the first quota's backlog marker is set to; empty: it is left alone
--       6 marker_ttl_ms
--       then for each quota five: e_us (window_us for a sliding window), burst (limit for one), revision, cost,
--       flags (1 shadow, 2 heeds the backlog marker, 4 sliding window)
-- RETURN integers: granted, next_wait_us, the granted slots as waits in microseconds, then for each quota
--        remaining, wait_us, reset_us, refused, backlog
--
-- A counter is the string "tat e burst revision", tat in whole microseconds of TIME; a log is a list of such times at
-- `<counter>:log`, beside it the string "window limit revision" at `<counter>:log:policy`. A caller with a newer revision
-- converts what is owed to its own policy; one with an older revision is judged by the stored policy. Here all times are
-- relative to now: a double holds the microseconds of this century only to a quarter, which would add up over many slots.

local HEADER, PER_QUOTA = 6, 5
local NEVER = 1e15
local ROUNDING_US = 1e-3 -- doubles are off by less; else 1 in 8.062 s with a burst of 2 refuses the second

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local n, horizon, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local peek = ARGV[4] == '1'
local quotas = {}
local blocked = false

local function keep(key, value, for_us)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.max(1000, math.ceil(for_us / 1000))))
end

---------------------------------------------------------------------------------------------------------- GCRA
local gcra = {}

function gcra.load(quota, e, burst)
  quota.tat, quota.e, quota.burst = 0, e, burst -- a counter that is not there owes nothing
  local stored = redis.call('GET', quota.key)
  if stored then
    local stored_tat, stored_e, stored_burst, revision = string.match(stored, '^(%S+) (%S+) (%S+) (%S+)$')
    local tat = stored_tat - now
    if tonumber(revision) < quota.revision then
      local owed = math.min(math.max(0, tat) / stored_e, quota.burst)
      quota.tat = math.ceil(owed * quota.e)
      quota.changed = true
    else
      quota.tat, quota.e, quota.burst, quota.revision = tat, tonumber(stored_e), tonumber(stored_burst), tonumber(revision)
    end
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
  quota.tat = math.max(quota.tat, slot) + quota.step
end

function gcra.remaining(quota)
  return math.floor((quota.tau - math.max(0, quota.tat) + ROUNDING_US) / quota.e)
end

function gcra.reset(quota)
  return math.max(0, quota.tat)
end

function gcra.save(quota)
  local tat = math.ceil(quota.tat)
  local value = string.format('%.0f %.17g %.0f %.0f', now + tat, quota.e, quota.burst, quota.revision)
  keep(quota.key, value, tat)
end

------------------------------------------------------------------------------------------------- sliding window
local sliding = {}

local function at(quota, index) -- from 1; the log as it stands, then what is added to it now
  if index <= quota.length then
    return redis.call('LINDEX', quota.log, index - 1) - now
  end
  return quota.added[index - quota.length]
end

function sliding.load(quota, window, limit)
  quota.window, quota.limit, quota.added = window, limit, {}
  quota.log, quota.policy = quota.key .. ':log', quota.key .. ':log:policy'
  local stored = redis.call('GET', quota.policy)
  local drop_future = false
  if stored then
    local stored_window, stored_limit, revision = string.match(stored, '^(%S+) (%S+) (%S+)$')
    if tonumber(revision) < quota.revision then
      drop_future, quota.changed = true, true
    else
      quota.window, quota.limit, quota.revision = tonumber(stored_window), tonumber(stored_limit), tonumber(revision)
    end
  end
  quota.length = redis.call('LLEN', quota.log)
  local dropped = 0
  while drop_future and dropped < quota.length and at(quota, quota.length - dropped) > 0 do
    dropped = dropped + 1
  end
  quota.length = quota.length - dropped
  if dropped > 0 and not peek then
    redis.call('LTRIM', quota.log, 0, -1 - dropped)
  end
  quota.old = 0 -- how many at the head are a window old: they count no more
  local low, high = 0, quota.length
  while low < high do
    local middle = math.ceil((low + high) / 2)
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
    slot = math.max(slot, at(quota, index) + quota.window)
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
  return length > quota.old and math.max(0, at(quota, length) + quota.window) or 0
end

function sliding.save(quota)
  local for_us = sliding.reset(quota)
  redis.call('LTRIM', quota.log, quota.old, -1)
  for _, slot in ipairs(quota.added) do
    redis.call('RPUSH', quota.log, string.format('%.0f', now + slot))
  end
  local for_ms = string.format('%.0f', math.max(1000, math.ceil(for_us / 1000)))
  redis.call('PEXPIRE', quota.log, for_ms)
  keep(quota.policy, string.format('%.17g %.0f %.0f', quota.window, quota.limit, quota.revision), for_us)
end

-------------------------------------------------------------------------------------------------------- decision
local function heed_backlog(marker_key)
  local marker = redis.call('GET', marker_key)
  if not marker then
    return 0
  end
  if not peek then -- as long as requests are deferred because of it, it must not fade away
    redis.call('PEXPIRE', marker_key, (string.match(marker, '^(%d+)')))
  end
  return 1
end

for i = 1, #KEYS / 2 do
  local first = HEADER + (i - 1) * PER_QUOTA
  local flags = tonumber(ARGV[first + 5])
  local quota = {
    kind = flags >= 4 and sliding or gcra,
    key = KEYS[2 * i - 1],
    revision = tonumber(ARGV[first + 3]),
    cost = tonumber(ARGV[first + 4]),
    enforced = flags % 2 == 0,
    backlog = flags % 4 >= 2 and heed_backlog(KEYS[2 * i]) or 0,
    refused = 0,
  }
  quota.kind.load(quota, tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]))
  blocked = blocked or quota.backlog == 1
  quotas[i] = quota
end

local function next_slot()
  local slot = lead
  for _, quota in ipairs(quotas) do
    if quota.enforced then
      slot = math.max(slot, quota.kind.earliest(quota))
    end
  end
  return math.ceil(slot)
end

local slots = {}
local slot = next_slot()
while not blocked and #slots < n and slot <= horizon do
  slots[#slots + 1] = slot
  for _, quota in ipairs(quotas) do
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

local reply = { #slots, slot, unpack(slots) }
for _, quota in ipairs(quotas) do
  local wait = math.max(0, math.ceil(quota.kind.earliest(quota)))
  if #slots == 0 and wait > horizon then
    quota.refused = 1
  end
  reply[#reply + 1] = math.max(0, quota.kind.remaining(quota))
  reply[#reply + 1] = wait
  reply[#reply + 1] = math.ceil(quota.kind.reset(quota))
  reply[#reply + 1] = quota.refused
  reply[#reply + 1] = quota.backlog
  if quota.changed and not peek then
    quota.kind.save(quota)
  end
end
if ARGV[5] ~= '' and not peek then
  redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6])
end
return reply
