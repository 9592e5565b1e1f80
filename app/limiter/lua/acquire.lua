-- Acquire slots of several quotas at once: every slot is granted by all enforced quotas, and charged to each of them.
--
-- A slot is the earliest time from now + lead on at which every enforced quota permits a request. If a backlog marker
-- stands that a quota must not pass, there is none.
--
-- USES   _acquiring _markers
-- KEYS   for each quota its counter; then the backlog markers of each quota, as many as its flags say; then the backlog
--        marker to set, if any
-- ARGV   1 n              the most slots to grant
--        2 horizon_us     how far ahead a slot may lie
--        3 lead_us        how far ahead a slot must lie
--        4 peek           1: nothing is written
--        5 marker         the value of the backlog marker to set; empty: none is set
--        6 marker_ttl_ms
--        7 place          the names of places in flight begin so; the slots' numbers follow
--        8 waits          1: a worker waits for what it does not get, and is told when a place is free
--        9 count          how many quotas
--        then for each quota seven, those of one rule behind each other and the longest window first:
--          algorithm, interval_us, units (what these mean, the algorithm says), window, revision, cost,
--          flags: 1 SHADOW (the quota refuses nothing) + 2 * how many backlog markers refuse the request if they stand
-- RETURN integers: how many slots are granted, next_wait_us (until the slot after those), now in microseconds of TIME; the
--        slots as waits in microseconds; then for each quota five:
--          remaining, wait_us, reset_us, refused (0 or 1), backlog (0 or 1)
-- COST   O(n) for each quota; for a sliding window besides O(log limit) reads, each of which may walk its log

local HEADER, PER_QUOTA, PER_STATE = 9, 7, 5
local SHADOW = 1

local call, max, ceil = redis.call, math.max, math.ceil

local n, horizon, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local peek, new_marker, marker_ttl_ms = ARGV[4] == '1', ARGV[5], ARGV[6]
local place, waits, count = ARGV[7], ARGV[8] == '1', tonumber(ARGV[9])
local last_marker = count

local function backlog_at(markers)
  local found = 0
  for i = last_marker + 1, last_marker + markers do
    local marker = call('GET', KEYS[i])
    if marker then
      found = 1
      if not peek then
        renew_marker(KEYS[i], marker)
      end
    end
  end
  last_marker = last_marker + markers
  return found
end

local quotas, blocked = { nil, nil }, false
for i = 1, count do
  local first = HEADER + (i - 1) * PER_QUOTA
  local name, interval, units, window, revision = unpack(ARGV, first + 1, first + 5)
  local flags = tonumber(ARGV[first + 7])
  local quota = load_quota(KEYS[i], name, interval, units, window, revision, tonumber(ARGV[first + 6]))
  quota.enforced, quota.refused = flags % 2 ~= SHADOW, 0
  quota.backlog = backlog_at((flags - flags % 2) / 2)
  blocked = blocked or quota.backlog == 1
  quotas[i] = quota
end

local function next_slot()
  local slot = lead
  for i = 1, count do
    local quota = quotas[i]
    if quota.enforced then
      slot = max(slot, quota.algorithm.earliest(quota, horizon))
    end
  end
  return ceil(slot)
end

local slots = {}
local slot = next_slot()
while not blocked and #slots < n and slot <= horizon do
  slots[#slots + 1] = slot
  for i = 1, count do
    local quota = quotas[i]
    local permitted = quota.enforced or quota.algorithm.earliest(quota, horizon) <= slot
    if not permitted then
      quota.refused = 1
    elseif not peek then
      quota.algorithm.spend(quota, slot, place .. #slots)
      quota.changed = true
    end
  end
  slot = next_slot()
end

local reply = { #slots, slot, now, unpack(slots) }
local last = #reply
for i = 1, count do
  local quota = quotas[i]
  local algorithm = quota.algorithm
  local wait = max(0, ceil(algorithm.earliest(quota, horizon)))
  if #slots == 0 and wait > horizon then
    quota.refused = 1
  end
  reply[last + 1], reply[last + 2] = max(0, algorithm.remaining(quota)), wait
  reply[last + 3], reply[last + 4], reply[last + 5] = ceil(algorithm.reset(quota)), quota.refused, quota.backlog
  last = last + PER_STATE
  if waits then
    ask_for_place(quota, horizon)
  end
  if quota.moved or quota.changed and not peek then
    save_quota(quota)
  end
end
if new_marker ~= '' and not peek then
  call('SET', KEYS[#KEYS], new_marker, 'PX', marker_ttl_ms)
end
return reply
