-- The memory of this Redis.
--
-- USES _names

-- What is in use, and `maxmemory`; 0 where there is none.
local function memory()
  local info = call('INFO', 'memory')
  return tonumber(match(info, '\nused_memory:(%d+)')), tonumber(match(info, '\nmaxmemory:(%d+)'))
end
