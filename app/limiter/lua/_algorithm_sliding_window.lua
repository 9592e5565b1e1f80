-- Sliding window for acquire.lua, as an exact log of the slots granted: `interval` is the window, `units` the limit.
--
-- With c more units, the unit that stands `limit` before the last of them must be a window old. So no window, wherever it
-- begins, holds more than `limit` units.
--
-- The log is a list of slots in microseconds of TIME at `<counter>:log`; beside it "window limit revision" stands at
-- `<counter>:log:policy`. A caller with a newer revision takes its own policy and drops slots in the future, which the old
-- policy granted; one with an older revision is judged by the stored policy.
--
-- USES  _algorithms _now

function algorithms.sliding_window()
  local NEVER = 1e15
  local SHORTEST_TTL_MS = 1000
  local call, max, ceil = redis.call, math.max, math.ceil

  -- The slot at an index from 1 on, in the stored log and then in what this call adds to it.
  local function at(quota, index)
    if index <= quota.length then
      return call('LINDEX', quota.log, index - 1) - now
    end
    return quota.added[index - quota.length]
  end

  -- Apply the stored policy, or the caller's where that is newer; returns whether the caller's is newer.
  local function adopt_policy(quota)
    local stored = call('GET', quota.log .. ':policy')
    if not stored or stored == quota.parameters then
      return false
    end
    local window, limit, revision = string.match(stored, '^(%S+) (%S+) (%S+)$')
    if tonumber(revision) < quota.revision then
      return true
    end
    quota.interval, quota.units, quota.parameters = tonumber(window), tonumber(limit), stored
    return false
  end

  -- How many slots at the head are a window old, so that they count no more.
  local function count_expired(quota)
    local low, high = 0, quota.length
    while low < high do
      local middle = ceil((low + high) / 2)
      if at(quota, middle) <= -quota.interval then
        low = middle
      else
        high = middle - 1
      end
    end
    return low
  end

  local function load(quota)
    quota.log, quota.added = quota.key .. ':log', {}
    quota.changed = adopt_policy(quota)
    quota.length, quota.dropped = call('LLEN', quota.log), 0
    while quota.changed and quota.length > 0 and at(quota, quota.length) > 0 do
      quota.length, quota.dropped = quota.length - 1, quota.dropped + 1
    end
    quota.expired = count_expired(quota)
  end

  local function earliest(quota)
    if quota.cost > quota.units then
      return NEVER
    end
    local length = quota.length + #quota.added
    local slot = length > 0 and at(quota, length) or -NEVER
    local index = length - quota.units + quota.cost
    if index >= 1 then
      slot = max(slot, at(quota, index) + quota.interval)
    end
    return slot
  end

  local function spend(quota, slot)
    for _ = 1, quota.cost do
      quota.added[#quota.added + 1] = slot
    end
  end

  local function remaining(quota)
    return quota.units - (quota.length - quota.expired + #quota.added)
  end

  local function reset(quota)
    local length = quota.length + #quota.added
    return length > quota.expired and max(0, at(quota, length) + quota.interval) or 0
  end

  local function save(quota)
    local ttl_ms = max(SHORTEST_TTL_MS, ceil(reset(quota) / 1000))
    call('LTRIM', quota.log, quota.expired, -1 - quota.dropped)
    for _, slot in ipairs(quota.added) do
      call('RPUSH', quota.log, string.format('%d', now + slot))
    end
    call('PEXPIRE', quota.log, ttl_ms)
    call('SET', quota.log .. ':policy', quota.parameters, 'PX', ttl_ms)
  end

  return { load = load, earliest = earliest, spend = spend, remaining = remaining, reset = reset, save = save }
end
