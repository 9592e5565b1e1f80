-- GCRA for acquire.lua: `interval` is the emission interval, `units` the burst.
--
-- USES  _algorithms _gcra

function algorithms.gcra()
  local max, ceil, floor = math.max, math.ceil, math.floor

  local function load(quota)
    local stored = redis.call('GET', quota.key)
    quota.tat = 0 -- without a counter nothing is owed
    if stored then
      quota.tat, quota.interval, quota.units, quota.parameters, quota.changed = gcra_restore(
        stored, quota.interval, quota.units, quota.parameters)
    end
    quota.tau = quota.interval * quota.units
    quota.step = quota.interval * quota.cost
  end

  local function earliest(quota, horizon)
    if quota.cost > quota.units then
      return horizon + quota.step -- never
    end
    return quota.tat + quota.step - quota.tau - ROUNDING_US
  end

  local function spend(quota, slot)
    quota.tat = max(quota.tat, slot) + quota.step
  end

  local function remaining(quota)
    return floor((quota.tau - max(0, quota.tat) + ROUNDING_US) / quota.interval)
  end

  local function reset(quota)
    return max(0, quota.tat)
  end

  local function save(quota)
    gcra_store(quota.key, quota.tat, quota.parameters)
  end

  return { load = load, earliest = earliest, spend = spend, remaining = remaining, reset = reset, save = save }
end
