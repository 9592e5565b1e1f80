-- What was spent under a limit stays spent when its rule changes: among the limits of a rule, each is known by its window.
--
-- The limit with the longest window has the rule's counter itself, every other one the counter "<counter>:w<window>". So the
-- counters of a rule with one limit, and of a limit beside which a shorter one is put, stay where they are; and a counter
-- moves only where the longest window of the rule is another than before. Those of a rule come in one call, the longest first.
--
-- A counter holds its window, with an m where the rule has several limits: they are whole microseconds.

local function rename_counter(from, to)
  for _, part in ipairs({ '', ':log', ':debt' }) do
    if redis.call('EXISTS', from .. part) == 1 then
      redis.call('RENAME', from .. part, to .. part)
    else
      redis.call('DEL', to .. part)
    end
  end
end

local function is_asked_for(counter)
  for _, key in ipairs(KEYS) do
    if key == counter then
      return true
    end
  end
  return false
end

-- The text of a counter for a caller with this window and revision, who is newer where the longest window has changed. Then
-- what stands there goes where its window is counted now, or away if that is gone; and what was counted for the new window
-- takes its place. Only where a rule with one limit gets another window does its counter stay: that is converted.
-- Returns the text, and whether counters moved: then this one must be saved, so that it is there while the others are.
local function follow_window(counter, stored, window, revision)
  local stored_window, several, stored_revision = string.match(stored, '^%S+ %S+ %S+ (%d+)(m?) (%d+)')
  local longest = string.match(window, '%d+')
  if not stored_window or stored_window == longest or tonumber(stored_revision) >= revision then
    return stored, false
  end
  local former, own = counter .. ':w' .. stored_window, counter .. ':w' .. longest
  if is_asked_for(former) then
    rename_counter(counter, former)
  elseif several == 'm' then
    redis.call('DEL', counter, counter .. ':log', counter .. ':debt')
  else
    redis.call('DEL', own, own .. ':log', own .. ':debt')
    return stored, false
  end
  if redis.call('EXISTS', own) == 1 then
    rename_counter(own, counter)
  end
  return redis.call('GET', counter), true
end
