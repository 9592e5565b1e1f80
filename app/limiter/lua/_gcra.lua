-- GCRA's counters as they are stored: "tat e burst revision", tat in whole microseconds of TIME, the rest in the words of
-- the caller: mostly they are those of the next one too, and need not be read.

local ROUNDING_US = 1e-3 -- doubles are off by less; else 1 in 8.062 s with a burst of 2 refuses the second
local SHORTEST_MS = 1000
local TAT_DIGITS = 16 -- at least, as microseconds of this time have

-- A stored counter as a caller judges it: tat relative to now, e, burst, parameters ("e burst revision"), and whether it was
-- converted. A caller with a newer revision converts what is owed to its own policy; one with an older revision judges by
-- the stored policy.
local function as_it_stands(stored, now, e, burst, parameters)
  local space = string.find(stored, ' ', TAT_DIGITS, true)
  local tat, stored_parameters = string.sub(stored, 1, space - 1) - now, string.sub(stored, space + 1)
  if stored_parameters == parameters then
    return tat, e, burst, parameters, false
  end
  local stored_e, stored_burst, stored_revision = string.match(stored_parameters, '^(%S+) (%S+) (%S+)$')
  if tonumber(stored_revision) >= tonumber(string.match(parameters, '%S+$')) then
    return tat, tonumber(stored_e), tonumber(stored_burst), stored_parameters, false
  end
  local owed = math.min(math.max(0, tat) / stored_e, burst)
  return math.ceil(owed * e), e, burst, parameters, true
end

-- It lasts for as long as anything is owed.
local function store(counter, now, tat, parameters)
  local whole = math.ceil(tat)
  local form = now + whole < 9e15 and '%d ' or '%.0f ' -- the first is quicker, and enough for centuries
  local for_ms = math.max(SHORTEST_MS, math.ceil(whole / 1000))
  redis.call('SET', counter, string.format(form, now + whole) .. parameters, 'PX', for_ms)
end
