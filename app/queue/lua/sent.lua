-- All jobs of these flows that were leased with a token were sent or have returned.
--
-- USES  _names
-- KEYS  1 the partition's prefix
-- ARGV  1 token   2 ... the flows
-- RETURN of how many it was not known
-- COST  O(1) a flow, 128 flows a call at most

local token = ARGV[1]
local told = 0
for at = 2, #ARGV do
  local key = flow_key(ARGV[at])
  local unsent = call('HGET', key, 'unsent')
  if unsent and find(unsent, token, 1, true) == 1 then
    told = told + call('HDEL', key, 'unsent')
  end
end
return told
