-- Decide a live request: one slot of each quota now, or none at all. The answer is that of acquire.lua for n = 1 and no
-- horizon. This script runs for nearly every request, so it knows only GCRA, writes the arithmetic out instead of calling
-- functions, and makes its tables in their final size for up to two quotas.
--
-- USES   _gcra _markers
-- KEYS   for each quota its counter; then the backlog markers of each quota, as many as its flags say
-- ARGV   1 how many quotas; then for each quota five:
--          parameters ("e_us burst window revision"), e_us, burst, cost,
--          flags: 1 SHADOW (the quota refuses nothing) + 2 * how many backlog markers refuse the request if they stand
-- RETURN -1 if another algorithm keeps one of the counters, or the rule has another window than before, and nothing is
--        decided: acquire.lua must be asked. Else
--        integers: 1 if the request is allowed, else 0; then for each quota five:
--          remaining, wait_us, reset_us, refused (0 or 1), backlog (0 or 1)
-- COST   one MGET of all keys, and one SET for each quota that is spent

local HEADER, PER_QUOTA, PER_STATE = 1, 5, 5
local SHADOW = 1

local ceil, floor = math.ceil, math.floor

local count = tonumber(ARGV[1])
local stored = redis.call('MGET', unpack(KEYS))
local last_marker, allowed = count, true

local function has_backlog(markers)
  local found = false
  for key = last_marker + 1, last_marker + markers do
    local marker = stored[key]
    if marker then
      renew_marker(KEYS[key], marker)
      found = true
    end
  end
  last_marker = last_marker + markers
  return found
end

local quotas = { nil, nil }
for i = 1, count do
  local first = HEADER + (i - 1) * PER_QUOTA
  local parameters, e, burst = ARGV[first + 1], tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local cost, flags = tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5])
  local tat, converted, backlog = 0, false, 0 -- without a counter nothing is owed
  if stored[i] then
    tat, e, burst, parameters, converted = gcra_restore(KEYS[i], stored[i], e, burst, parameters, true)
    if not tat then
      return { -1 }
    end
    if converted then
      gcra_store(KEYS[i], tat, parameters)
    end
  end
  local step, tau = e * cost, e * burst
  local late = step - tau - ROUNDING_US -- the request conforms from tat + late on
  if cost > burst then
    late = step - tat -- it never conforms
  end
  local refused = tat + late > 0
  if refused and flags % 2 ~= SHADOW then
    allowed = false
  end
  if flags > SHADOW and has_backlog((flags - flags % 2) / 2) then
    backlog, allowed = 1, false
  end
  quotas[i] = {
    tat = tat, e = e, tau = tau, step = step, late = late, parameters = parameters, refused = refused, backlog = backlog,
  }
end

local reply = { allowed and 1 or 0, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
for i = 1, count do
  local quota = quotas[i]
  local tat, refused = quota.tat, quota.refused
  if allowed and not refused then
    tat = (tat > 0 and tat or 0) + quota.step
    gcra_store(KEYS[i], tat, quota.parameters)
  end
  local owed, wait, at = tat > 0 and tat or 0, tat + quota.late, 1 + (i - 1) * PER_STATE
  local remaining = floor((quota.tau - owed + ROUNDING_US) / quota.e)
  reply[at + 1], reply[at + 2] = remaining > 0 and remaining or 0, wait > 0 and ceil(wait) or 0
  reply[at + 3], reply[at + 4], reply[at + 5] = ceil(owed), refused and 1 or 0, quota.backlog
end
return reply
