-- Counts the jobs of one page of all flows, for whoever wants an overview; reads only. A flow may come twice.
--
-- USES  _flow_counts
-- KEYS  1 the partition's prefix
-- ARGV  1 cursor, '0' for the first page   2 count: about how many flows
-- RETURN the next cursor ('0': these were the last), now_us, then for each flow nine (_flow_counts.lua)
-- COST  O(log n) a flow, for about 25 flows a call, 128 at most

local page = call('ZSCAN', P .. 'expiry', ARGV[1], 'COUNT', ARGV[2])
local reply = { page[1], now_us() } -- flat: Redis sends each table of a reply by itself
for at = 1, #page[2], 2 do
  push_counts(reply, page[2][at])
end
return reply
