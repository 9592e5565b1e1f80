-- Dead letters, the latest first, a page of them. Those whose record's time is over are forgotten.
--
-- USES  _records
-- KEYS  1 the partition's prefix
-- ARGV  1 the id that the page begins after, '' for the first   2 how many at most   3 rule id, '' for all
--       4 how many to look at, at most
-- RETURN {the id to go on after, '' for the last page,
--         then for each: id, flow, died_us, attempts, code, message, answer}

local after, most, rule = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local from = 0
if after ~= '' then
  from = (call('ZREVRANK', P .. 'dead', after) or -1) + 1
end

local look = tonumber(ARGV[4])
local found = call('ZREVRANGE', P .. 'dead', from, from + look - 1, 'WITHSCORES')
local reply = { '' }
local listed, last = 0, ''
for i = 1, #found, 2 do
  local id, died = found[i], found[i + 1]
  local meta = read_meta(id)
  if not meta then
    call('ZREM', P .. 'dead', id)
  else
    if listed == most then
      reply[1] = last
      return reply
    end
    last = id
    if rule == '' or rule_of(meta.flow) == rule then
      listed = listed + 1
      local attempts, code, message, answer = unpack(
        call('HMGET', job_key(id), 'attempts', 'code', 'message', 'answer'))
      for _, field in ipairs({ id, meta.flow, died, attempts or '0', code or '', message or '', answer or '' }) do
        reply[#reply + 1] = field
      end
    end
  end
end
if #found == 2 * look then
  reply[1] = last
end
return reply
