-- What acquire.lua and acquire_turns.lua have in common: quotas, each with its algorithm.
--
-- USES  _now _windows _places _algorithm_*

local made = {} -- the functions of an algorithm are made only if a quota needs them
local function algorithm_of(name)
  made[name] = made[name] or algorithms[name]()
  return made[name]
end

-- A counter that another algorithm keeps by a newer policy, or by the same, judges the caller by that algorithm; one that it
-- keeps by an older policy is taken over, and what was spent stays spent.
local function read_counter(quota, name)
  local stored = redis.call('GET', quota.key)
  if stored then
    stored, quota.moved = follow_window(quota.key, stored, quota.window, quota.revision)
  end
  local keeper, kept_revision = name, 0
  if stored then
    keeper, kept_revision = kept_by(stored)
  end
  local kept = algorithm_of(keeper)
  if keeper == name or kept_revision >= quota.revision then
    quota.algorithm = kept
    kept.load(quota, stored)
    return
  end
  local former = { key = quota.key, revision = kept_revision, parameters = '0 0 0 0', cost = 0 }
  kept.load(former, stored)
  quota.algorithm, quota.former, quota.changed = algorithm_of(name), kept, true
  quota.algorithm.take_over(quota, math.min(kept.owed(former), quota.units))
end

-- A quota as its algorithm wants it (_algorithms.lua), read from its counter. interval, units, window, revision: as in ARGV
local function load_quota(key, name, interval, units, window, revision, cost)
  local quota = {
    key = key,
    interval = tonumber(interval),
    units = tonumber(units),
    window = window,
    revision = tonumber(revision),
    parameters = interval .. ' ' .. units .. ' ' .. window .. ' ' .. revision,
    cost = cost,
    changed = false,
    moved = false,
  }
  if name == 'concurrency' then
    quota.algorithm, quota.is_places = algorithm_of(name), true
    quota.algorithm.load(quota)
  else
    read_counter(quota, name)
  end
  quota.changed = quota.changed or quota.moved
  return quota
end

-- A worker whose next job has no place is told when one is free.
local function ask_for_place(quota, horizon)
  if quota.is_places and quota.algorithm.earliest(quota, horizon) > horizon then
    wait_for_place(quota.key)
  end
end

local function save_quota(quota)
  if quota.former then
    quota.former.forget(quota.key)
  end
  quota.algorithm.save(quota)
end
