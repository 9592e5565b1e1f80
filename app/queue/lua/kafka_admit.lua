-- Messages of one Kafka partition, in its order, move into their flows: with their requests where there is capacity, else as
-- references to what stays on Kafka's disk. What was admitted before, and what is final or gone, is skipped.
--
-- USES  _kafka
-- KEYS  1 the partition's prefix
-- ARGV  1 window: most jobs of a flow that are resident   2 most request bytes resident, of all flows
--       3 most of `maxmemory` for requests, a fraction   4 the same for references
--       then for each message four: id, Kafka partition, offset, request
-- RETURN {how many were dealt with; there is no capacity for the rest, how many are resident, spilled, skipped}
-- COST  O(log n) a message, 50 messages a call at most

local capacity = read_capacity(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
local now = now_us()
local done, resident, spilled, skipped = 0, 0, 0, 0

-- A job may have failed before its message was read. It may be sent again: this is where its request is.
local function remember_place(id, place)
  local text = call('GET', job_key(id))
  local job = text and parse_final(text)
  if job and job.status == 'failed' and not job.place then
    call('SET', job_key(id), (string.gsub(text, ' %-|', ' ' .. place .. '|', 1)), 'KEEPTTL')
  end
end

for i = 5, #ARGV, 4 do
  local id, request = ARGV[i], ARGV[i + 3]
  local place = ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' ' .. #request
  local known_place = call('HGET', P .. 'kafka', id)
  if known_place ~= '-' and known_place ~= '+' then
    remember_place(id, place) -- a dead letter may be sent again: this is where its request is
    skipped = skipped + 1
  else
    local job = read_job(id)
    local depth = call('ZCARD', fifo_key(job.flow))
    local may = may_be_resident(capacity, depth, #request)
    if may == nil then
      break
    end
    call('ZREM', awaiting_key(job.flow), id)
    if may and call('EXISTS', spilled_key(job.flow)) == 0 then
      call('HSET', P .. 'kafka', id, place)
      make_resident(id, job, request, now)
      capacity.used, capacity.bytes = capacity.used + #request, capacity.bytes + #request
      resident = resident + 1
    else
      spill(id, job, place, now)
      spilled = spilled + 1
    end
  end
  done = done + 1
end
return { done, resident, spilled, skipped }
