-- Sets of jobs by owner, and of dead letters. They are pruned, since nothing tells them when a record's time is over.
--
-- USES _names

local FEW = 4

-- Forgets jobs whose records are gone, from the member at `from` on, until it has met `present` that are not, and has
-- looked at `look` at most. Returns how long the longest of these lasts (milliseconds), nil where one has no end yet.
-- Looking at a record is dear: it may be anywhere in a large memory.
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

-- Prunes a set of which some jobs have ended. Mostly the oldest are the first to go, so it looks there; every other time it
-- looks somewhere else, so that a few records that stay don't keep all the others. So a set stays in proportion to the
-- records, whatever their times to live are.
local function prune_after(set, ends, now)
  local look = math.max(16, 4 * ends)
  if now % 2 == 0 then
    prune(set, 0, 1, look)
  else
    prune(set, math.floor(now / 2) % math.max(1, call('ZCARD', set)), ends, look)
  end
end

-- An owner's list lasts for as long as the last record in it may, and a minute longer, so that not every job has to
-- lengthen it. That is decided when a job is enqueued, and again where one ends after its time. is_new: the list was made in
-- this call
local function keep_owned(owner, at_least_ms, now, is_new)
  local owned = P .. 'owner:' .. owner
  if is_new or call('PTTL', owned) < at_least_ms then
    call('PEXPIREAT', owned, int(now / 1000 + at_least_ms + 60000))
  end
end

-- Some of an owner's jobs have ended; the longest of their records lasts for so many milliseconds.
local function prune_owned(owner, ends, longest_ms, now)
  local owned = P .. 'owner:' .. owner
  local card = call('ZCARD', owned)
  if card > FEW then
    prune_after(owned, ends, now)
    return
  end
  if card <= ends then
    call('PEXPIREAT', owned, int(now / 1000 + longest_ms)) -- it has no others
    return
  end
  local longest = prune(owned, 0, FEW, FEW)
  if longest and longest > 0 then
    call('PEXPIRE', owned, int(longest))
  end
end
