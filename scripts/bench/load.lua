-- The load of load.ts for wrk. BENCH_METHOD, BENCH_HEADERS ("name: value" lines), BENCH_BODY, BENCH_TOKENS (a file of
-- refresh tokens, one a line: each is sent once, and the token that the answer brings takes its place).
-- Prints "RESULT {json}".

wrk.method = os.getenv("BENCH_METHOD")
for name, value in (os.getenv("BENCH_HEADERS") or ""):gmatch("([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

local tokens = os.getenv("BENCH_TOKENS")
if tokens then
  local pool, asked = {}, false
  for token in io.lines(tokens) do pool[#pool + 1] = token end

  function request()
    -- wrk asks for one request before the run and does not send it
    local token = asked and table.remove(pool) or pool[1]
    asked = true
    return wrk.format(nil, nil, nil, '{"refresh_token":"' .. (token or "") .. '"}')
  end

  function response(status, headers, body)
    local token = body:match('"refresh_token":"([^"]+)"')
    if token then pool[#pool + 1] = token end
  end
else
  wrk.body = os.getenv("BENCH_BODY")
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"p50Ms":%.3f,"p99Ms":%.3f,"maxMs":%.3f,"non2xx":%d,"socketErrors":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
