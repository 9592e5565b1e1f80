-- Replays the next dead letters that a filter finds, the oldest first: one batch of long work. It ends before a dead letter
-- of a rule that is not among the arguments.
--
-- USES  _dead_letters _replaying _batches
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 descriptor   3 code of the error   4 status of the last answer ('' for any)
--       5 since, 6 until: times of failure (microseconds)   7 the time of failure and   8 the id to go on after, '' for the first
--       9 look: how many to look at   10 limit: how many to replay, what cannot be replayed counts
--       11 id of the operation, '' for none   12 number of the batch   13 n, how many rules follow
--       then for each rule 12: its id, and as app/queue/flow_parameters.py; then the ids of rules that are not in force
-- RETURN {number of the batch that was done last, how many were replayed, how many were gone already, how many were looked at,
--         1 if there may be more, the time of failure and the id to go on after, the rule that is needed to go on or '',
--         then for each that cannot be replayed 2: its id, and why}
-- COST  O(log n) a dead letter looked at, 100 a call at most, and those replayed

local filter, after_us, after_id, look, limit = filter_at(1), ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local operation, number, rules_end = ARGV[11], tonumber(ARGV[12]), 13 + 12 * ARGV[13]

local MOST_BYTES = 262144 -- a record is read and written whole

local known = reply_of_batch(operation, number)
if known then
  return known
end

local rules = {}
for at = 14, rules_end, 12 do
  rules[ARGV[at]] = rule_at(at + 1)
end
for at = rules_end + 1, #ARGV do
  rules[ARGV[at]] = false
end

local now = now_us()
local found, more = oldest_behind(filter, after_us, after_id, look)
local done, gone, looked, bytes, needed, problems = 0, 0, 0, 0, '', {}

-- Replays a job, or notes why it cannot be replayed. Returns whether its rule is known.
local function replay(id, job)
  local rule = rules[rule_of(job.flow)]
  if rule == nil then
    needed = rule_of(job.flow)
    return false
  end
  local request = rule and request_of_dead(id, job)
  if request then
    replay_job(id, job, request, rule, now)
    done, bytes = done + 1, bytes + #request
  else
    push(problems, id, rule and 'request_lost' or 'rule_not_in_force')
  end
  return true
end

for at = 1, #found, 2 do
  local id = found[at]
  if done + #problems / 2 == limit or bytes > MOST_BYTES then
    more = true
    break
  end
  local job = read_job(id)
  if not job then
    call('ZREM', DEAD, id)
    gone = gone + 1
  elseif is_wanted(job, filter) and not replay(id, job) then
    more = true
    break
  end
  looked, after_us, after_id = looked + 1, found[at + 1], id
end
return keep_batch(operation, { number, done, gone, looked, more and 1 or 0, after_us, after_id, needed, unpack(problems) })
