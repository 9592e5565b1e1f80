-- Sets of jobs by owner, and of dead letters: they are weeded, for nothing tells them when a record's time is over.
--
-- USES _names

local FEW = 4

-- From one of its members on, the jobs whose records are gone are forgotten, until so many were met that are not. Returns
-- how long the longest of these lasts, nil where one has no end yet. To look at a record costs the queue more than all
-- else here: it is somewhere in a large memory.
local function prune(set, from, present, look)
  local longest, met = 0, 0
  while met < present and look > 0 do
    local ids = call('ZRANGE', set, from + met, from + present - 1)
    if #ids == 0 then
      break
    end
    for _, id in ipairs(ids) do
      local ttl = call('PTTL', job_key(id))
      if ttl == -2 then
        call('ZREM', set, id)
      else
        longest = ttl ~= -1 and longest and math.max(longest, ttl) or nil
        met = met + 1
      end
    end
    look = look - #ids
  end
  return longest
end

-- A set of which some jobs have ended. Mostly the oldest are the first to go; and somewhere else, now and then, lest a few
-- that stay keep all the others: so it stays in proportion to the records, whatever their times are.
local function prune_after(set, ends, now)
  local look = math.max(16, 4 * ends)
  if now % 2 == 0 then
    prune(set, 0, 1, look)
  else
    prune(set, math.floor(now / 2) % math.max(1, call('ZCARD', set)), ends, look)
  end
end

-- An owner's list lasts for as long as the last record in it may; a little longer, not to be told so with every job.
local function keep_owned(owner, at_least_ms)
  local index = P .. 'owner:' .. owner
  if call('PTTL', index) < at_least_ms then
    call('PEXPIRE', index, int(at_least_ms + 60000))
  end
end

local function prune_owned(owner, ends, now)
  local index = P .. 'owner:' .. owner
  if call('ZCARD', index) > FEW then
    prune_after(index, ends, now)
    return
  end
  local longest = prune(index, 0, FEW, FEW)
  if longest and longest > 0 then
    call('PEXPIRE', index, int(longest))
  end
end
