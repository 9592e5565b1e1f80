-- Sets something for the flows of one descriptor under a rule, and tells the workers. It is kept until it is removed, whatever
-- becomes of the flows and the rule; for a while also after a rate was removed, so that what was spent at it stays spent.
-- What is set for a while only is ended by end_flow_settings; what was there before it returns then, unless the same is
-- set again meanwhile.
--
-- JSON: paused, rate (null, or limit, window_seconds, burst), version (of the change), was_rated, removed_ms (where nothing is
-- set any more), changed_ms, changed_by, temporary (paused, rate: each until_ms, previous)
--
-- USES  _flow_settings
-- KEYS  1 the partition's prefix
-- ARGV  1 "<rule id>|<descriptor>"   2 what to set: 'paused' or 'rate'   3 its value as JSON, 'null' to remove a rate
--       4 who   5 how many settings there may be   6 for how long a removed rate is remembered, in milliseconds
--       7 for how long it is set, in milliseconds, 0 for no end
-- RETURN the version, or 0 where too much is set; the setting before and after as JSON, '' for none
-- COST  O(log n) with the settings that are temporary

local name, what, value, by, most, remembered = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local lasts_ms = tonumber(ARGV[7])
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

local function same(one, other)
  if type(one) ~= 'table' or type(other) ~= 'table' then
    return one == other
  end
  return one.limit == other.limit and one.window_seconds == other.window_seconds and one.burst == other.burst
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
local temporary = setting.temporary or {}
local previous = setting[what]
if temporary[what] then
  previous = temporary[what].previous
end
setting[what] = cjson.decode('[' .. value .. ']')[1]
temporary[what] = nil
if lasts_ms > 0 and not same(previous, setting[what]) then
  temporary[what] = { until_ms = now_ms + lasts_ms, previous = previous }
end
setting.temporary = temporary
local version, after = store_setting(name, setting, now_ms, by)
return { version, before or '', after }
