-- A live request: one slot of several quotas, now or never. What acquire.lua answers for n = 1 without a horizon, where
-- each quota is GCRA: nothing here is made that such a request does not need, for it is asked with every one.
--
-- USES  _gcra
-- KEYS  for each quota its counter; then, for each that heeds it, its backlog marker
-- ARGV  1 how many quotas
--       then for each five: parameters ("e_us burst revision"), e_us, burst, cost, flags (1 shadow, 2 heeds the backlog marker)
-- RETURN integers: 1 if it is allowed, then for each quota remaining, wait_us, reset_us, refused, backlog

local call, ceil, floor = redis.call, math.ceil, math.floor

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local count = tonumber(ARGV[1])
local stored = call('MGET', unpack(KEYS))
local quotas, markers, allowed = {}, count, true

local function is_marked()
  markers = markers + 1
  local marker = stored[markers]
  if marker then -- as long as requests are refused because of it, it must not fade away
    call('PEXPIRE', KEYS[markers], (string.match(marker, '^(%d+)')))
  end
  return marker
end

for i = 1, count do
  local first = 5 * i - 3
  local parameters, e, burst = ARGV[first], tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local cost, flags = tonumber(ARGV[first + 3]), ARGV[first + 4]
  local tat, converted, backlog = 0, false, 0
  if stored[i] then
    tat, e, burst, parameters, converted = as_it_stands(stored[i], now, e, burst, parameters)
  end
  local step = e * cost
  local late = step - e * burst - ROUNDING_US -- it conforms from tat + late on
  if cost > burst then
    late = step - tat -- never allowed
  end
  local refused = tat + late > 0
  if refused and flags ~= '1' and flags ~= '3' then
    allowed = false
  end
  if flags >= '2' and is_marked() then
    backlog, allowed = 1, false
  end
  quotas[i] = { tat, e, burst, parameters, step, late, refused, converted, backlog }
end

local reply = { allowed and 1 or 0 }
for i = 1, count do
  local tat, e, burst, parameters, step, late, refused, converted, backlog = unpack(quotas[i])
  local spends = allowed and not refused
  if spends then
    tat = (tat > 0 and tat or 0) + step
  end
  if spends or converted then
    store(KEYS[i], now, tat, parameters)
  end
  local owed, wait, at = tat > 0 and tat or 0, tat + late, 5 * i - 3
  local remaining = floor((e * burst - owed + ROUNDING_US) / e)
  reply[at], reply[at + 1] = remaining > 0 and remaining or 0, wait > 0 and ceil(wait) or 0
  reply[at + 2], reply[at + 3], reply[at + 4] = ceil(owed), refused and 1 or 0, backlog
end
return reply
