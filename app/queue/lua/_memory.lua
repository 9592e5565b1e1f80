-- The memory of this Redis.
--
-- USES _names

-- What is in use, and `maxmemory`; 0 where there is none.
local function memory()
  local info = call('INFO', 'memory')
  return tonumber(string.match(info, '\nused_memory:(%d+)')), tonumber(string.match(info, '\nmaxmemory:(%d+)'))
end
