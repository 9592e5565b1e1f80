-- Ends what was set for flows for a while only and is over: what was set before it returns. Keeps a note of each until
-- the audit has it.
--
-- NOTE as JSON: name, version (of the change), at_ms, before, after (the settings, as set_flow.lua has them)
--
-- USES  _flow_settings
-- KEYS  1 the partition's prefix
-- ARGV  1 how many at most   2 who   3 how many notes there may be: beyond these none is kept
-- RETURN how many were ended
-- COST  O(log n) each, 100 a call at most

local most, by, notes = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local key, now_ms = P .. 'settings', math.floor(now_us() / 1000)

local function ended(setting)
  for _, what in ipairs(SETTABLE) do
    local change = setting.temporary and setting.temporary[what]
    if change and change.until_ms <= now_ms then
      setting[what] = change.previous
      setting.temporary[what] = nil
    end
  end
  return setting
end

local due = call('ZRANGEBYSCORE', P .. 'settings_until', '-inf', now_ms, 'LIMIT', 0, most)
for _, name in ipairs(due) do
  local before = call('HGET', key, name)
  if before then
    local version, after = store_setting(name, ended(cjson.decode(before)), now_ms, by)
    if call('HLEN', P .. 'settings_ended') < notes then
      local note = cjson.encode({ name = name, version = version, at_ms = now_ms, before = before, after = after })
      call('HSET', P .. 'settings_ended', version, note)
    end
  else
    call('ZREM', P .. 'settings_until', name)
  end
end
return #due
