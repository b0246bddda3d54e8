-- Records an attempt that showed the upstream as down. A result from an older generation only adds evidence.
-- ARGV: call id, worker id, generation and era of its admission, error code, fail max, reset ms.
local callId, worker, generation, era = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local code, failMax, resetMs = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local record = load()

local stored = redis.call('HGET', EVIDENCE, worker)
local evidence = stored and cjson.decode(stored) or { failures = 0 }
evidence.failures = evidence.failures + 1
evidence.lastError = code
evidence.at = NOW
redis.call('HSET', EVIDENCE, worker, cjson.encode(evidence))

if generation ~= record.generation or redis.call('HEXISTS', ASIDE, worker) == 1 then
  return reply(record)
end

-- If only one of several workers fails, the cause is likely the worker, not the upstream.
local function only_this_worker_fails()
  local live = fleet()
  if live.count < 2 or not live.ids[worker] then return false end
  for _, id in ipairs(redis.call('HKEYS', EVIDENCE)) do
    if id ~= worker then return false end
  end
  return true
end

if record.state == 'closed' then
  record.streak = record.streak + 1
  if record.streak >= failMax then
    if only_this_worker_fails() then
      redis.call('HSET', ASIDE, worker, NOW + resetMs)
      record.streak = failMax - 1
      note({ kind = 'worker', to = 'set aside', worker = worker, reason = code, generation = record.generation })
    else
      open(record, record.streak .. ' failures in a row, the last one: ' .. code, worker, resetMs)
    end
  end
elseif record.state == 'half_open' and redis.call('ZREM', PERMITS, callId) == 1 then
  if record.permits <= 1 then
    open(record, 'The trial failed: ' .. code, worker, resetMs)
  elseif era == record.era then
    -- At most one cut per round trip, as in TCP: calls admitted before the cut add no information.
    record.permits = math.max(1, math.floor(record.permits / 2))
    record.linear, record.round, record.era = 1, 0, record.era + 1
  end
end
save(record)
publish(record)
return reply(record)
