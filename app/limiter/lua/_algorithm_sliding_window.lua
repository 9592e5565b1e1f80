-- Sliding window for acquire.lua, as an exact log of the slots granted: `interval` is the window, `units` the limit.
--
-- With c more units, the unit that stands `limit` before the last of them must be a window old. So no window, wherever it
-- begins, holds more than `limit` units.
--
-- The log is a list of slots in microseconds of TIME at `<counter>:log`. The counter itself names the policy: "now interval
-- limit window revision sliding_window" (formerly without the window). A caller with a newer revision takes its own policy; one with an older revision is judged
-- by the stored policy. The log stays as it is, so what was spent stays spent.
--
-- USES  _algorithms _now

function algorithms.sliding_window()
  local NEVER = 1e15
  local SHORTEST_TTL_MS = 1000
  local PUSHED_AT_ONCE = 1000 -- Lua passes no more than some thousands of arguments
  local call, max, min, ceil = redis.call, math.max, math.min, math.ceil

  -- The slot at an index from 1 on, in the stored log and then in what this call adds to it.
  local function at(quota, index)
    if index <= quota.length then
      return call('LINDEX', quota.log, index - 1) - now
    end
    return quota.added[index - quota.length]
  end

  -- Apply the stored policy unless the caller's is newer; returns whether it is.
  local function adopt_policy(quota, stored)
    local window, limit, rest, revision = string.match(stored, '^%S+ (%S+) (%S+) (.-)(%d+) %a[%w_]*$')
    if tonumber(revision) < quota.revision then
      return true
    end
    quota.interval, quota.units = tonumber(window), tonumber(limit)
    quota.parameters = window .. ' ' .. limit .. ' ' .. rest .. revision
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

  -- The clock has stepped back: what was logged later than now counts from now on. Once for each step of the clock.
  local function forget_the_future(quota)
    for i, slot in ipairs(call('LRANGE', quota.log, 0, -1)) do
      quota.added[i] = min(0, slot - now)
    end
    quota.length, quota.renewed, quota.changed = 0, true, true
  end

  local function load(quota, stored)
    quota.log, quota.added = quota.key .. ':log', {}
    quota.changed = stored and adopt_policy(quota, stored) or false
    quota.length = call('LLEN', quota.log)
    if quota.length > 0 and at(quota, quota.length) > FURTHEST_SLOT_US then
      forget_the_future(quota)
    end
    quota.expired = count_expired(quota)
  end

  local function owed(quota)
    return quota.length - quota.expired + #quota.added
  end

  -- As under GCRA, one of these units becomes free every window/limit: each is logged a window before it does.
  local function take_over(quota, units)
    quota.log, quota.added, quota.length, quota.expired, quota.renewed = quota.key .. ':log', {}, 0, 0, true
    local spent = ceil(units)
    for i = 1, spent do
      quota.added[i] = ceil((units - spent + i) * quota.interval / quota.units - quota.interval)
    end
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

  -- Its units are the last ones in the log if nothing was granted since.
  local function give_back(quota, slot)
    local first = quota.length - quota.cost + 1
    if first < 1 or at(quota, first) ~= slot or at(quota, quota.length) ~= slot then
      return false
    end
    call('LTRIM', quota.log, 0, -quota.cost - 1)
    quota.length = first - 1
    quota.expired = min(quota.expired, quota.length)
    return true
  end

  local function remaining(quota)
    return quota.units - owed(quota)
  end

  local function reset(quota)
    local length = quota.length + #quota.added
    return length > quota.expired and max(0, at(quota, length) + quota.interval) or 0
  end

  local function append(log, slots)
    local texts = {}
    for i, slot in ipairs(slots) do
      texts[i] = string.format('%d', now + slot)
    end
    for first = 1, #texts, PUSHED_AT_ONCE do
      call('RPUSH', log, unpack(texts, first, min(first + PUSHED_AT_ONCE - 1, #texts)))
    end
  end

  local function save(quota)
    local ttl_ms = max(SHORTEST_TTL_MS, ceil(reset(quota) / 1000))
    if quota.renewed then
      call('DEL', quota.log)
    else
      call('LTRIM', quota.log, quota.expired, -1)
    end
    append(quota.log, quota.added)
    call('PEXPIRE', quota.log, ttl_ms)
    call('SET', quota.key, string.format('%d ', now) .. quota.parameters .. ' sliding_window', 'PX', ttl_ms)
  end

  local function forget(key)
    call('DEL', key .. ':log')
  end

  return {
    load = load, owed = owed, take_over = take_over, earliest = earliest, spend = spend, give_back = give_back,
    remaining = remaining, reset = reset, save = save, forget = forget,
  }
end
