-- Flow leases: which worker has a flow or a ring, for how long, and what it may have in hand of it.
--
-- Each is a text under a key of its own, so that a call that takes, leases or gives back many units reads all of them with one
-- command, and writes or removes them with another:
--
--   token priority until next last
--
-- priority: in which `due` the unit stands, '-' for a flow that the worker does not have any more, or has with its ring; until:
-- when the lease ends; next: when the unit may go on after what was leased of it; last: the last job that was leased of it,
-- until the worker says that all of them were sent or have returned. '-' for what there is not.
--
-- USES _names

local function write_flow_lease(token, priority, until_us, next_us, last)
  return token .. ' ' .. priority .. ' ' .. until_us .. ' ' .. next_us .. ' ' .. last
end

-- Whether a text is of this token. text: false where there is none
local function is_of_token(text, token)
  return text and find(text, token, 1, true) == 1 and string.byte(text, #token + 1) == 32 -- ' '
end

-- The priority of a unit that a worker has by this token; false or nil otherwise.
local function held_priority(text, token)
  local priority = is_of_token(text, token) and match(text, '^%S+', #token + 2)
  return priority ~= '-' and priority
end

-- The last job that a worker may have in hand, nil where it has none; and the token by which it leased that job.
local function unsent_of(text)
  local token, last = match(text or '', '^(%S+) %S+ %S+ %S+ (%S+)')
  if last ~= '-' then
    return last, token
  end
end

-- A worker has had jobs in hand of a flow that it does not have by itself.
local function write_in_hand(token, last)
  return write_flow_lease(token, '-', '-', '-', last)
end

-- Until when a worker has a unit, and when it goes on: numbers, nil for what there is not.
local function lease_of(unit)
  local until_us, next_us = match(call('GET', held_key(unit)) or '', '^%S+ %S+ (%S+) (%S+)')
  return tonumber(until_us or nil), tonumber(next_us or nil)
end

-- A worker has a flow no more, and may have jobs of it in hand.
local function end_flow_lease(flow)
  local last, token = unsent_of(call('GET', held_key(flow)))
  if last then
    call('SET', held_key(flow), write_in_hand(token, last))
  else
    call('DEL', held_key(flow))
  end
end
