-- Dead letters: which of them a filter finds, and where in their set a page of them begins.
--
-- A place in the set is a time of failure (microseconds) and an id. It stands, whatever joins or leaves the set. Many jobs
-- that failed in one call share a time.
--
-- USES _records

local DEAD = P .. 'dead'

-- A filter of six arguments from the one at `at` on: rule id, descriptor, code of the error, status of the last answer ('' for
-- any), and the times of failure to begin and to end with.
local function filter_at(at)
  return {
    rule = ARGV[at], descriptor = ARGV[at + 1], code = ARGV[at + 2], answer = ARGV[at + 3],
    since = tonumber(ARGV[at + 4]), upto = tonumber(ARGV[at + 5]),
  }
end

local function is_wanted(job, filter)
  local rule = rule_of(job.flow)
  return (filter.rule == '' or filter.rule == rule)
    and (filter.descriptor == '' or counter_at(job.flow, 1) == rule .. '|' .. filter.descriptor)
    and (filter.code == '' or filter.code == job.code)
    and (filter.answer == '' or filter.answer == job.answer)
end

-- How many stand before a place.
local function count_before(failed_us, id)
  local low, high = call('ZCOUNT', DEAD, '-inf', '(' .. failed_us), call('ZCOUNT', DEAD, '-inf', failed_us)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if comes_before(call('ZRANGE', DEAD, middle, middle)[1], id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- The next dead letters of the times of a filter behind a place, the oldest first: id, failed_us, id, failed_us...; and
-- whether there may be more. id: '' for the very first
local function oldest_behind(filter, failed_us, id, look)
  if look == 0 then
    return {}, true
  end
  local first
  if id == '' then
    first = call('ZCOUNT', DEAD, '-inf', '(' .. int(filter.since))
  else
    first = count_before(failed_us, id)
    if call('ZRANGE', DEAD, first, first)[1] == id then
      first = first + 1
    end
  end
  local found = call('ZRANGE', DEAD, first, first + look - 1, 'WITHSCORES')
  local more = #found == 2 * look
  while #found > 0 and tonumber(found[#found]) > filter.upto do
    found[#found], found[#found - 1], more = nil, nil, false
  end
  return found, more
end

-- Forgets a dead letter, and all that is kept of it.
local function forget_dead_letter(id, job)
  if job.idem then
    call('DEL', P .. 'idem:' .. job.idem)
  end
  call('ZREM', DEAD, id)
  call('ZREM', P .. 'owner:' .. job.owner, id)
  call('DEL', job_key(id))
end
