-- Who waits for a place is told when one is free: a worker that finds none leaves a word beside the counter.

local FREED = 'places:freed'
local WORD_MS = 60000 -- whoever still waits then asks again by itself, when a lease has ended

local function wait_for_place(counter)
  redis.call('SET', counter .. ':waiting', '1', 'PX', WORD_MS)
end

local function tell_waiting(counter)
  if redis.call('DEL', counter .. ':waiting') == 1 then
    redis.call('PUBLISH', FREED, counter)
  end
end
