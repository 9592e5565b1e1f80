-- GCRA for acquire.lua: `interval` is the emission interval, `units` the burst.
--
-- USES  _algorithms _gcra

function algorithms.gcra()
  local max, min, ceil, floor = math.max, math.min, math.ceil, math.floor

  local GIVE_BACK_PRECISION_US = 2

  local function begin(quota, tat)
    quota.tat = tat
    quota.tau = quota.interval * quota.units
  end

  local function load(quota, stored)
    local tat = 0 -- without a counter nothing is owed
    if stored then
      tat, quota.interval, quota.units, quota.parameters, quota.changed = gcra_restore(
        quota.key, stored, quota.interval, quota.units, quota.parameters)
    end
    begin(quota, tat)
  end

  local function owed(quota)
    return max(0, quota.tat) / quota.interval
  end

  local function take_over(quota, units)
    begin(quota, ceil(units * quota.interval))
  end

  local function earliest(quota, horizon)
    if quota.cost > quota.units then
      return horizon + quota.interval * quota.cost -- never
    end
    return quota.tat + quota.interval * quota.cost - quota.tau - ROUNDING_US
  end

  local function spend(quota, slot)
    quota.tat = max(quota.tat, slot) + quota.interval * quota.cost
  end

  local function correct(quota, units)
    local before = max(0, quota.tat)
    local after = max(0, min(before + units * quota.interval, max(before, LONGEST_DEBT_US)))
    if after ~= before then
      quota.tat, quota.changed = after, true
      gcra_note_debt(quota.key, before, after, quota.interval, quota.tau)
    end
  end

  -- Whatever is granted after the slot moves the tat, and so the time of the next slot. Both times are rounded.
  local function give_back(quota, _, next)
    if math.abs(earliest(quota) - next) > GIVE_BACK_PRECISION_US then
      return false
    end
    quota.tat = quota.tat - quota.interval * quota.cost
    return true
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

  local function forget() end -- the counter is all that GCRA keeps, and another algorithm's takes its place

  return {
    load = load, owed = owed, take_over = take_over, earliest = earliest, spend = spend, correct = correct,
    give_back = give_back, remaining = remaining, reset = reset, save = save, forget = forget,
  }
end
