-- Slots of several quotas at once: all of them are spent, or none.
--
-- A request of cost c conforms to a quota (emission interval e, burst tolerance tau = e * burst) at time t when
-- max(tat, t) + e*c - tau <= t; it then sets tat to max(tat, t) + e*c (GCRA, ITU-T I.371). A slot is the earliest t
-- from now + lead on that conforms to every enforced quota. However the grants are ordered, no stretch of T
-- microseconds holds more than burst + T/e units, because tat grows by e with every unit and a unit at t leaves
-- it between t + e and t + tau.
--
-- KEYS  for each quota two: its counter, its backlog marker
-- ARGV  1 n           how many slots at most
--       2 horizon_us  how far ahead a slot may lie
--       3 lead_us     how far ahead it must lie
--       4 peek        1: nothing is written
--       5 marker      the value that the first quota's backlog marker is set to; empty: it is left alone
--       6 marker_ttl_ms
--       then for each quota five: e_us, burst, revision, cost, flags (1 shadow, 2 heeds the backlog marker)
-- RETURN integers: granted, next_wait_us, the granted slots as waits in microseconds, then for each quota
--        remaining, wait_us, reset_us, refused, backlog
--
-- A counter is "tat e burst revision", tat in whole microseconds of TIME. Here all times are relative to now: a double
-- holds the microseconds of this century only to a quarter, which would add up over many slots. A caller with a newer revision converts what is
-- owed to its own policy; one with an older revision is judged by the stored policy.

local SHADOW, HEEDS_BACKLOG = 1, 2
local HEADER, PER_QUOTA = 6, 5

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local n, horizon, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local peek = ARGV[4] == '1'
local quotas = {}
local blocked = false

local function load_counter(quota)
  local stored = redis.call('GET', quota.key)
  if not stored then
    return
  end
  local tat, e, burst, revision = string.match(stored, '^(%S+) (%S+) (%S+) (%S+)$')
  tat, e, burst, revision = tonumber(tat), tonumber(e), tonumber(burst), tonumber(revision)
  if revision < quota.revision then
    local owed = math.min(math.max(0, tat - now) / e, quota.burst)
    quota.tat = math.ceil(owed * quota.e)
    quota.changed = true
  else
    quota.tat, quota.e, quota.burst, quota.revision = tat - now, e, burst, revision
  end
end

local function heed_backlog(quota, marker_key)
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
  local at = HEADER + (i - 1) * PER_QUOTA
  local flags = tonumber(ARGV[at + 5])
  local quota = {
    key = KEYS[2 * i - 1],
    e = tonumber(ARGV[at + 1]),
    burst = tonumber(ARGV[at + 2]),
    revision = tonumber(ARGV[at + 3]),
    cost = tonumber(ARGV[at + 4]),
    enforced = flags % 2 < SHADOW,
    tat = 0, -- a counter that is not there owes nothing
    backlog = 0,
    refused = 0,
  }
  load_counter(quota)
  quota.tau = quota.e * quota.burst
  quota.step = quota.e * quota.cost
  if flags >= HEEDS_BACKLOG then
    quota.backlog = heed_backlog(quota, KEYS[2 * i])
    blocked = blocked or quota.backlog == 1
  end
  quotas[i] = quota
end

-- When a quota allows its next request; one that costs more than the burst is never allowed.
local function earliest(quota)
  if quota.cost > quota.burst then
    return horizon + quota.step
  end
  return quota.tat + quota.step - quota.tau
end

local function next_slot()
  local slot = lead
  for _, quota in ipairs(quotas) do
    if quota.enforced then
      slot = math.max(slot, earliest(quota))
    end
  end
  return math.ceil(slot)
end

local slots = {}
local slot = next_slot()
while not blocked and #slots < n and slot <= horizon do
  slots[#slots + 1] = slot
  for _, quota in ipairs(quotas) do
    if peek then
      quota.refused = earliest(quota) <= slot and 0 or 1
    elseif quota.enforced or earliest(quota) <= slot then
      quota.tat = math.max(quota.tat, slot) + quota.step
      quota.changed = true
    else
      quota.refused = 1
    end
  end
  slot = next_slot()
end

local reply = { #slots, slot, unpack(slots) }
for _, quota in ipairs(quotas) do
  local wait = math.max(0, math.ceil(earliest(quota)))
  if #slots == 0 and wait > horizon then
    quota.refused = 1
  end
  local owed = math.max(0, quota.tat)
  reply[#reply + 1] = math.max(0, math.floor((quota.tau - owed) / quota.e + 1e-9))
  reply[#reply + 1] = wait
  reply[#reply + 1] = math.ceil(owed)
  reply[#reply + 1] = quota.refused
  reply[#reply + 1] = quota.backlog
  if quota.changed and not peek then
    local tat = math.ceil(quota.tat)
    local value = string.format('%.0f %.17g %.0f %.0f', now + tat, quota.e, quota.burst, quota.revision)
    redis.call('SET', quota.key, value, 'PX', string.format('%.0f', math.max(1000, math.ceil(tat / 1000))))
  end
end
if ARGV[5] ~= '' and not peek then
  redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6])
end
return reply
