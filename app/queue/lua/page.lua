-- A part of a page of an owner's jobs, newest first. Those whose records are gone are forgotten.
--
-- USES  _views
-- KEYS  1 the partition's prefix
-- ARGV  1 owner   2 limit   3 the time of submission (microseconds) and   4 the id that it begins after; '' for the first
-- RETURN 1 if there may be more after these, else 0; the time of submission and the id to go on after; then for each job 2:
--        its time of submission, and the job as _views.lua describes it
-- COST  O(log n) a job, 26 jobs a call at most

local owner, limit, after_us, after_id = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local owned = P .. 'owner:' .. owner
local now = now_us()

local SHARED = 16 -- more jobs than may share a microsecond: the one to begin after is looked at again

local ids, submitted, has_more = {}, {}, false
local from = after_us == '' and '+inf' or after_us
local found = call('ZREVRANGEBYSCORE', owned, from, '-inf', 'WITHSCORES', 'LIMIT', 0, limit + SHARED)
for at = 1, #found, 2 do
  local id, score = found[at], found[at + 1]
  if score ~= after_us or comes_before(id, after_id) then
    if #ids == limit then
      has_more = true
      break
    end
    push(ids, id)
    push(submitted, score)
  end
end
local reply = { has_more and 1 or 0, submitted[#ids] or '', ids[#ids] or '' } -- flat: Redis sends each table by itself
for i, state in ipairs(#ids > 0 and call('HMGET', P .. 'state', unpack(ids)) or {}) do
  local view = view_of(ids[i], state, now)
  if view then
    push(reply, submitted[i], view)
  else
    call('ZREM', owned, ids[i])
  end
end
return reply
