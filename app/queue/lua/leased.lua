-- Ids of jobs that were leased and are not final: in flight, backing off, or returned to their flows; a page of them.
--
-- USES  _names
-- KEYS  1 the partition's prefix
-- ARGV  1 cursor of HSCAN   2 how many to look at   3 a text that the state must have ('' for any)   4 a status, '' for any
-- RETURN {the cursor to go on with, the ids}
-- COST  O(1) a job looked at, about 500 a call at most

local cursor, look, needle, status = unpack(ARGV)
local page, ids = call('HSCAN', P .. 'state', cursor, 'COUNT', look), {}
local begins = status .. ' '
for at = 1, #page[2], 2 do
  local state = page[2][at + 1]
  if (status == '' or sub(state, 1, #begins) == begins) and (needle == '' or find(state, needle, 1, true)) then
    push(ids, page[2][at])
  end
end
return { page[1], ids }
