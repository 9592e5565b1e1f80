-- The jobs that ended in the last hour, those of the latest calls first.
--
-- USES  _outcomes
-- KEYS  1 the partition's prefix
-- ARGV  1 the entry to begin at ('+' for the newest), and   2 how many of its lines were looked at
--       3 how many lines to look at   4 how many to return
--       5 a text that each line must have ('' for any)   6 letters of the statuses wanted (of 's', 'f', 'c')
--       7 1: only jobs whose records are gone
-- RETURN the entry to go on at and how many of its lines were looked at ('' and 0: there are no more), then the lines: of each
--        the id and the first line of the record as it was
-- COST  O(log n), and a look at 1000 lines, 100 returned, a call at most; an entry has as many as one call ended

local from, skip, look, limit, needle, letters, only_gone =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7] == '1'
local MOST_ENTRIES_AT_ONCE = 8
local RECORD_LOOK = 3 -- to look whether there is a record takes as long as so many lines

local reply = { '', 0 }

-- A text that an entry must have; '' for any. Most entries have no failure and no cancellation.
local of_entry = needle == '' and #letters == 1 and '\n' .. letters .. ' ' or needle

local function has_record(id)
  look = look - RECORD_LOOK
  return call('EXISTS', job_key(id)) == 1
end

local function is_wanted(id, line)
  return find(letters, sub(line, 1, 1), 1, true) and (needle == '' or find(line, needle, 1, true))
    and not (only_gone and has_record(id))
end

-- Returns how many lines of an entry were looked at when there were enough, nil if all were.
local function look_at_entry(text, n, skipped)
  if of_entry ~= '' and not find(text, of_entry, 1, true) then
    look = look - math.ceil(n / 2) -- as long as that many lines take
    return nil
  end
  local number = 0
  for id, line in string.gmatch(text, '([^\n]+)\n([^\n]+)') do
    if number >= skipped then
      if look <= 0 or #reply - 2 == limit then
        return number
      end
      look = look - 1
      if is_wanted(id, line) then
        push(reply, id .. ' ' .. line)
      end
    end
    number = number + 1
  end
end

local function look_at_entries()
  local too_old, at_once = int(too_old_ms(now_us())), 1
  while true do
    local entries = call('XREVRANGE', P .. 'outcomes', from, too_old, 'COUNT', at_once)
    for _, entry in ipairs(entries) do
      local skipped = entry[1] == ARGV[1] and skip or 0 -- that entry may be gone
      local number = look <= 0 and 0 or look_at_entry(entry[2][4], entry[2][2], skipped)
      if number then
        reply[1], reply[2] = entry[1], number
        return
      end
      from = '(' .. entry[1]
    end
    if #entries < at_once then
      return
    end
    at_once = math.min(2 * at_once, MOST_ENTRIES_AT_ONCE)
  end
end

look_at_entries()
return reply
