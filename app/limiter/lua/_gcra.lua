-- GCRA, the generic cell rate algorithm (ITU-T I.371), with emission interval e and burst tolerance tau = e * burst.
--
-- A request of cost c conforms at time t when max(tat, t) + e*c - tau <= t, and sets tat to max(tat, t) + e*c. However the
-- grants are ordered, no stretch of T microseconds holds more than burst + T/e units: tat grows by e with every unit, and a
-- unit at t leaves it between t + e and t + tau.
--
-- A counter is the text "tat e burst window revision": tat in whole microseconds of TIME, the rest ("the parameters") as the
-- caller wrote it. Mostly the parameters equal those of the next caller, and need not be parsed. _windows.lua reads the window.
--
-- USES  _now

local ROUNDING_US = 1e-3 -- doubles are off by less; without it 1 in 8.062 s with a burst of 2 refuses the second request
local SHORTEST_TTL_MS = 1000
local DEBT = ':debt' -- follows a counter in the key of what a correction has left to be paid beyond the burst, in units
local LONGEST_DEBT_US = 316224000e6 -- no wait is longer: MAX_REFILL_S in app/rules/bounds.py
local TAT_DIGITS = 16 -- a tat has at least so many, as the microseconds of this time have

-- What is owed is a burst at most, besides slots that are to come, unless a correction has left a debt (correct.lua). More is
-- owed only if the clock has stepped back.
-- Returns tat, and whether it was reduced.
local function gcra_clamp(counter, tat, e, tau)
  if tat <= tau + FURTHEST_SLOT_US then
    return tat, false
  end
  local debt = redis.call('GET', counter .. DEBT)
  local most = math.max(tau, (tonumber(debt) or 0) * e)
  if tat <= most + FURTHEST_SLOT_US then
    return tat, false
  end
  return most, true
end

-- e, burst, window and revision of parameters; nil if another algorithm wrote them. Formerly there was no window.
local function gcra_parameters(text)
  local e, burst, window, revision = string.match(text, '^(%S+) (%S+) (%S+) (%d+)$')
  if not revision then
    e, burst, revision = string.match(text, '^(%S+) (%S+) (%d+)$')
  end
  return tonumber(e), tonumber(burst), window, tonumber(revision)
end

-- Note by how many units a correction leaves more owed than a burst, so that nobody takes that for a clock that stepped back.
local function gcra_note_debt(counter, before, after, e, tau)
  if after > tau then
    redis.call('SET', counter .. DEBT, string.format('%.17g', after / e), 'PX', math.ceil(after / 1000))
  elseif before > tau then
    redis.call('DEL', counter .. DEBT)
  end
end

-- Read a counter for a caller with this policy. A caller with a newer revision converts what is owed to its own policy, a burst
-- of each at most and whatever a correction has left beyond that; one with an older revision is judged by the stored policy.
-- Returns tat relative to now, and the e, burst and parameters that apply, and whether tat was changed. Returns nil if
-- another algorithm keeps the counter (_algorithms.lua says how that is told), or, with `keeps_window`, if the caller is newer
-- and its window another.
local function gcra_restore(counter, stored, e, burst, parameters, keeps_window)
  local space = string.find(stored, ' ', TAT_DIGITS, true)
  local tat, stored_parameters = string.sub(stored, 1, space - 1) - now, string.sub(stored, space + 1)
  local changed
  if stored_parameters == parameters then
    tat, changed = gcra_clamp(counter, tat, e, e * burst)
    return tat, e, burst, parameters, changed
  end
  local stored_e, stored_burst, stored_window, stored_revision = gcra_parameters(stored_parameters)
  if not stored_revision then
    return nil
  end
  local _, _, window, revision = gcra_parameters(parameters)
  if stored_revision >= revision then
    tat, changed = gcra_clamp(counter, tat, stored_e, stored_e * stored_burst)
    return tat, stored_e, stored_burst, stored_parameters, changed
  end
  if keeps_window and stored_window ~= window then
    return nil
  end
  local stored_tau = stored_e * stored_burst
  local owed = math.max(0, (gcra_clamp(counter, tat, stored_e, stored_tau)))
  local debt = owed > stored_tau + FURTHEST_SLOT_US and owed - stored_tau or 0
  local owed_units = math.min((owed - debt) / stored_e, burst) + debt / stored_e
  local most = debt > 0 and math.max(LONGEST_DEBT_US, e * burst) or math.huge
  return math.ceil(math.min(owed_units * e, most)), e, burst, parameters, true
end

-- Write a counter, which lasts for as long as anything is owed; that of one of several limits for its window at least, so that
-- the one with the longest is there while the others are (_windows.lua).
local function gcra_store(counter, tat, parameters)
  local whole = math.ceil(tat)
  local form = now + whole < 9e15 and '%d ' or '%.0f ' -- the first is quicker, and enough for centuries
  local ttl_ms = math.max(SHORTEST_TTL_MS, math.ceil(whole / 1000))
  if string.find(parameters, 'm', 1, true) then
    ttl_ms = math.max(ttl_ms, math.ceil(string.match(parameters, '(%d+)m') / 1000))
  end
  redis.call('SET', counter, string.format(form, now + whole) .. parameters, 'PX', ttl_ms)
end
