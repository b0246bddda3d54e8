-- Returns breaker, holds and workers. ARGV: none.
local workers = {}
local flat = redis.call('HGETALL', WORKERS)
for i = 1, #flat, 2 do
  local worker = cjson.decode(flat[i + 1])
  worker.setAside = redis.call('HEXISTS', ASIDE, flat[i]) == 1
  local evidence = redis.call('HGET', EVIDENCE, flat[i])
  worker.evidence = evidence and cjson.decode(evidence) or cjson.null
  workers[#workers + 1] = worker
end
return reply(load(), { workers = workers })
