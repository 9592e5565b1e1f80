-- What has become of the last jobs that ended, so that operators find them whatever their rules keep of them.
--
-- USES _names

local KEPT_OUTCOMES, KEPT_OUTCOMES_BYTES, KEPT_OUTCOMES_MS = 100000, 33554432, 3600000

local function too_old_ms(now)
  return math.max(0, math.floor(now / 1000) - KEPT_OUTCOMES_MS)
end

-- Removes the oldest entries while there are too many, and those that are too old; looks at so many at most. Returns how many
-- jobs and bytes of lines are left.
local function trim_outcomes(jobs, bytes, now, look)
  local stream, too_old, at_once = P .. 'outcomes', too_old_ms(now), 1
  while look > 0 do
    local is_over = jobs > KEPT_OUTCOMES or bytes > KEPT_OUTCOMES_BYTES
    local gone = {}
    for _, entry in ipairs(call('XRANGE', stream, '-', is_over and '+' or int(too_old), 'COUNT', at_once)) do
      if not is_over and tonumber(match(entry[1], '^%d+')) > too_old then
        break
      end
      push(gone, entry[1])
      jobs, bytes = jobs - entry[2][2], bytes - #entry[2][4]
      is_over = jobs > KEPT_OUTCOMES or bytes > KEPT_OUTCOMES_BYTES
    end
    if #gone > 0 then
      call('XDEL', stream, unpack(gone))
    end
    look = #gone == at_once and look - at_once or 0
    at_once = math.min(2 * at_once, look)
  end
  return jobs, bytes
end

-- Adds what one call of a script has ended. Each entry has one job at least, so a look at twice as many entries as jobs are
-- added keeps the bounds. The keys last for as long as their latest entry is of use.
--
-- lines: for each job two, its id and the first line of its record
local function add_outcomes(lines, now)
  local text, added, kept_key = concat(lines, '\n'), #lines / 2, P .. 'outcomes:kept'
  local jobs, bytes = match(call('GET', kept_key) or '0 0', '^(%d+) (%d+)$')
  call('XADD', P .. 'outcomes', '*', 'n', int(added), 'jobs', text)
  jobs, bytes = trim_outcomes(jobs + added, bytes + #text, now, 2 * added)
  call('SET', kept_key, int(math.max(0, jobs)) .. ' ' .. int(math.max(0, bytes)), 'PX', KEPT_OUTCOMES_MS)
  call('PEXPIRE', P .. 'outcomes', KEPT_OUTCOMES_MS)
end
