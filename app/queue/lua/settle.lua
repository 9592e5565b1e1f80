-- Outcomes of many jobs at once. The first final one wins; one under a lease that is no longer held is dropped.
--
-- USES  _ending
-- KEYS  1 the partition's prefix
-- ARGV  for each job seven: id, lease, status ('succeeded' or 'failed'), code, message, answer, response
--       (what is empty is not stored; answer: the app server's status, and whether its answer was small enough to keep)
-- RETURN for each job 1, or 0 if the outcome was dropped

local now = now_us()
local ends, ended, reply = {}, {}, {}

local function fields_at(first)
  local fields = {}
  for at, name in ipairs({ 'code', 'message', 'answer', 'response' }) do
    local value = ARGV[first + at - 1]
    if value ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  return fields
end

for i = 1, #ARGV, 7 do
  local id = ARGV[i]
  local meta = read_meta(id)
  if meta and meta.lease == ARGV[i + 1] and not ended[id] then
    ends[#ends + 1] = { id = id, meta = meta, status = ARGV[i + 2], fields = fields_at(i + 3) }
    ended[id] = true
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
if #ends > 0 then
  finish_all(ends, now)
end
return reply
