-- Concurrency for acquire.lua: how many requests may be in flight at once. `units` is that number, `interval` the time for which
-- a place is leased.
--
-- Each request in flight has a place: a member of the sorted set that is the counter, scored by the time at which its lease
-- ends. Who holds it extends the lease (extend_places.lua) and gives it back (give_back_places.lua); a place whose lease has
-- ended is free. A caller with a newer number has nothing to convert, so the counter names no policy.
--
-- USES  _algorithms _now

function algorithms.concurrency()
  local call, max, ceil = redis.call, math.max, math.ceil

  -- The clock has stepped back: leases that would end too late end as those that begin now. Once for each step of the clock.
  local function shorten(key, lease)
    for _, place in ipairs(call('ZRANGEBYSCORE', key, string.format('(%d', now + lease + FURTHEST_SLOT_US), '+inf')) do
      call('ZADD', key, string.format('%d', now + lease), place)
    end
  end

  local function load(quota)
    shorten(quota.key, quota.interval)
    quota.taken, quota.added = call('ZCOUNT', quota.key, string.format('(%d', now), '+inf'), {}
  end

  -- The next place is free when the first lease ends, unless one is given back before.
  local function earliest(quota, horizon)
    if quota.taken < quota.units then
      return 0
    end
    local first = call('ZRANGEBYSCORE', quota.key, string.format('(%d', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    return max(horizon + 1, first and first - now or quota.interval)
  end

  local function spend(quota, slot, place)
    quota.added[#quota.added + 1] = string.format('%d', now + ceil(slot + quota.interval))
    quota.added[#quota.added + 1] = place
    quota.taken = quota.taken + 1
  end

  local function remaining(quota)
    return quota.units - quota.taken
  end

  local function reset()
    return 0
  end

  local function save(quota)
    call('ZREMRANGEBYSCORE', quota.key, '-inf', string.format('%d', now))
    call('ZADD', quota.key, unpack(quota.added))
    call('PEXPIRE', quota.key, ceil(quota.interval / 1000) + FURTHEST_SLOT_US / 1000)
  end

  return { load = load, earliest = earliest, spend = spend, remaining = remaining, reset = reset, save = save }
end
