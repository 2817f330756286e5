-- For wrk: every request asks for a seed that nobody asked for before; ends with one line of JSON.
-- Arguments: method, path, first seed.

local method, path, seed

function init(args)
  method, path, seed = args[1], args[2], tonumber(args[3])
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  seed = seed + 1
  if method == "POST" then
    return wrk.format("POST", path, nil, string.format('{"seed": %d}', seed))
  end
  return wrk.format("GET", string.format("%s?seed=%d", path, seed), { Host = wrk.headers["Host"] })
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p90": %d, "p99": %d, '
      .. '"max": %d, "status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
