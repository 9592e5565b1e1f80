-- Some jobs as operators list them; those that are gone are left out.
--
-- USES  _views
-- KEYS  1 the partition's prefix
-- ARGV  the ids
-- RETURN the jobs as _views.lua describes them
-- COST  O(log n) a job, 26 jobs a call at most

local now, reply = now_us(), {}
for i, state in ipairs(call('HMGET', P .. 'state', unpack(ARGV))) do
  local view = view_of(ARGV[i], state, now)
  if view then
    push(reply, view)
  end
end
return reply
