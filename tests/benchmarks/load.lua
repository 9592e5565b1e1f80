-- Lets wrk send the requests of a file, separated by NUL, in turn. With an expected status and text it checks every
-- response, which slows wrk down so much that it is done in a separate run.
--   args: FILE [STATUS TEXT HEADER...]

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local requests, at = {}, 0
local status_wanted, text_wanted, headers_wanted

function init(args)
  wrong, first_wrong = 0, ""
  local file = assert(io.open(args[1], "rb"))
  for one in file:read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] = one
  end
  file:close()
  if args[2] then
    status_wanted, text_wanted, headers_wanted = tonumber(args[2]), args[3], { unpack(args, 4) }
    response = check
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function check(status, headers, body)
  local missing = status ~= status_wanted or not body:find(text_wanted, 1, true)
  local known = {}
  for name in pairs(headers) do
    known[name:lower()] = true
  end
  for _, name in ipairs(headers_wanted) do
    missing = missing or not known[name]
  end
  if missing then
    wrong = wrong + 1
    if first_wrong == "" then
      first_wrong = status .. " " .. body:sub(1, 300)
    end
  end
end

function done(summary, latency)
  local wrongs, first = 0, ""
  for _, thread in ipairs(threads) do
    wrongs = wrongs + thread:get("wrong")
    first = first == "" and thread:get("first_wrong") or first
  end
  local errors = summary.errors
  io.write(string.format("\nLOAD %d %d %d %d %d %d %d %s\n", summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status, latency:percentile(50), wrongs,
    first:gsub("%s+", " ")))
end
