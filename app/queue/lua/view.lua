-- A job as its owner sees it; reads only.
--
-- USES  _views
-- KEYS  1 the partition's prefix
-- ARGV  1 id
-- RETURN {} or {id, status, flow, owner, submitted_ms, attempts, started_ms, finished_ms, code, message, answer, stored,
--        position (0 for none), eta_us (-1 for not known), ttl_ms (-1 for none), the rule that it waits for}; '-' for
--        what there is not
-- COST  O(log n)

local id, reply = ARGV[1], {}
push_view(reply, id, call('HGET', P .. 'state', id), now_us())
return reply
