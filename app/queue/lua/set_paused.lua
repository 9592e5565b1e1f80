-- Pauses or resumes the flows of a rule that is deleted or disabled: no rule in force says it any more.
--
-- USES  _names
-- KEYS  1 the partition's prefix
-- ARGV  1 rule id   2 1: paused, 0: resumed
-- RETURN 1, or 0 where no flow is charged for the rule
-- COST  O(1)

local rule, paused = ARGV[1], ARGV[2]
if call('EXISTS', rule_key(rule)) == 0 then
  return 0
end
call('HSET', rule_key(rule), 'paused', paused)
return 1
