-- A job as its owner sees it; reads only.
--
-- USES  _views
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN the job as _views.lua describes it; nil where there is none
-- COST  O(log n)

local id = ARGV[1]
return view_of(id, call('HGET', P .. 'state', id), now_us())
