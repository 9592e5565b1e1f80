-- Sets something for the flows of one descriptor under a rule, and tells the workers. It is kept until it is removed, whatever
-- becomes of the flows and the rule; for a while also after a rate was removed, so that what was spent at it stays spent.
--
-- JSON: paused, rate (null, or limit, window_seconds, burst), version (of the change), was_rated, removed_ms (where nothing is
-- set any more), changed_ms, changed_by
--
-- USES  _names
-- KEYS  1 the partition's prefix
-- ARGV  1 "<rule id>|<descriptor>"   2 what to set: 'paused' or 'rate'   3 its value as JSON, 'null' to remove a rate
--       4 who   5 how many settings there may be   6 for how long a removed rate is remembered, in milliseconds
-- RETURN the version, or 0 where too much is set; the setting before and after as JSON, '' for none
-- COST  O(1)

local name, what, value, by, most, remembered = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local key, now_ms = P .. 'settings', math.floor(now_us() / 1000)
local LOOKED_AT, LOOKED_AT_WHERE_FULL = 5, 50

-- Forgets those that were removed before a time, among some of all.
local function forget_removed(before_ms, look)
  for _, field in ipairs(call('HRANDFIELD', key, look)) do
    local setting = cjson.decode(call('HGET', key, field))
    if field ~= name and setting.removed_ms and setting.removed_ms < before_ms then
      call('HDEL', key, field)
    end
  end
end

if call('EXISTS', key) == 1 then
  forget_removed(now_ms - remembered, LOOKED_AT)
end
local before = call('HGET', key, name)
if not before and call('HLEN', key) >= most then
  forget_removed(math.huge, LOOKED_AT_WHERE_FULL) -- what is removed keeps nobody from setting something
end
if not before and call('HLEN', key) >= most then
  return { 0, '', '' }
end
local setting = before and cjson.decode(before) or { paused = false, rate = cjson.null, was_rated = false }
setting[what] = cjson.decode('[' .. value .. ']')[1]
setting.was_rated = setting.was_rated or setting.rate ~= cjson.null
local version = call('INCR', P .. 'settings_version')
setting.version, setting.changed_ms, setting.changed_by = version, now_ms, by
local is_removed = not setting.paused and setting.rate == cjson.null
setting.removed_ms = is_removed and now_ms or nil
local after = cjson.encode(setting)
if is_removed and not setting.was_rated then
  call('HDEL', key, name)
  after = ''
else
  call('HSET', key, name, after)
end
call('PUBLISH', P .. 'settings', name)
return { version, before or '', after }
