-- All jobs of these flows that were leased with a token were sent or have returned.
--
-- USES  _flow_leases
-- KEYS  1 the partition's prefix
-- ARGV  1 token   2 ... the flows
-- RETURN of how many it was not known
-- COST  O(1) a flow, 128 flows a call at most

local token = ARGV[1]
local told = 0
for at = 2, #ARGV do
  local key = held_key(ARGV[at])
  local text = call('GET', key)
  local last, of = unsent_of(text)
  if last and of == token then
    told = told + 1
    if held_priority(text, token) then
      call('SET', key, match(text, '^.* ') .. '-')
    else
      call('DEL', key)
    end
  end
end
return told
