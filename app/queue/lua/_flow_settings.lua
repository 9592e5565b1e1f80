-- What operators have set for flows: stored here, and told to the workers.
--
-- USES _names

-- What can be set. Of a value that is there for a while only, `temporary` has `until_ms` and the `previous` one.
local SETTABLE = { 'paused', 'rate' }

-- When the first temporary value of a setting ends, or nil.
local function first_end_ms(setting)
  local first
  for _, what in ipairs(SETTABLE) do
    local change = (setting.temporary or {})[what]
    if change and (not first or change.until_ms < first) then
      first = change.until_ms
    end
  end
  return first
end

-- Stores a setting that has changed and returns its version, and it as JSON, '' where nothing of it is kept.
local function store_setting(name, setting, now_ms, by)
  local key, ends_ms = P .. 'settings', first_end_ms(setting)
  setting.was_rated = setting.was_rated or setting.rate ~= cjson.null
  setting.version, setting.changed_ms, setting.changed_by = call('INCR', P .. 'settings_version'), now_ms, by
  if ends_ms then
    call('ZADD', P .. 'settings_until', ends_ms, name)
  else
    setting.temporary = nil
    call('ZREM', P .. 'settings_until', name)
  end
  local is_removed = not ends_ms and not setting.paused and setting.rate == cjson.null
  setting.removed_ms = is_removed and now_ms or nil
  local after = cjson.encode(setting)
  if is_removed and not setting.was_rated then
    call('HDEL', key, name)
    after = ''
  else
    call('HSET', key, name, after)
  end
  call('PUBLISH', key, name)
  return setting.version, after
end
