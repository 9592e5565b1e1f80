-- A backlog marker refuses live requests, so that they do not pass the jobs that wait. Its value begins with its time to live
-- in milliseconds: a flow's own must stand for as long as requests are deferred because of it. One that begins with 0 says
-- that flows wait for a counter that callers share; requests that it defers do not keep it, or it would stand for ever.

local function renew_marker(key, marker)
  local ttl_ms = string.match(marker, '^(%d+)')
  if ttl_ms ~= '0' then
    redis.call('PEXPIRE', key, ttl_ms)
  end
end
