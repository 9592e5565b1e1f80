-- Outcomes of many jobs at once. The first final one wins; one under a lease that is no longer held is dropped.
--
-- KEYS  1 the partition's prefix
-- ARGV  for each job seven: id, lease, status ('succeeded' or 'failed'), code, message, answer, response
--       (what is empty is not stored; answer: the app server's status, and whether its answer was small enough to keep)
-- RETURN for each job 1, or 0 if the outcome was dropped

local now = now_us()
local reply = {}
for i = 1, #ARGV, 7 do
  local id = ARGV[i]
  if redis.call('HGET', job_key(id), 'lease') == ARGV[i + 1] then
    local fields = {}
    for at, name in ipairs({ 'code', 'message', 'answer', 'response' }) do
      if ARGV[i + 2 + at] ~= '' then
        fields[#fields + 1] = name
        fields[#fields + 1] = ARGV[i + 2 + at]
      end
    end
    finish(id, read_meta(id), ARGV[i + 2], now, fields)
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
return reply
