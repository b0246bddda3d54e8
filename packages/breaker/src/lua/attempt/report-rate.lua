-- Records that a worker's rolling failure rate exceeded the limit.
-- ARGV: worker id, generation, text, reset ms, window ms.
local worker, resetMs = ARGV[1], tonumber(ARGV[4])
local record = load()
if record.state ~= 'closed' or tonumber(ARGV[2]) ~= record.generation or redis.call('HEXISTS', ASIDE, worker) == 1 then
  return reply(record)
end
local stored = redis.call('HGET', EVIDENCE, worker)
local evidence = stored and cjson.decode(stored) or { failures = 0 }
evidence.rateAt, evidence.lastError = NOW, ARGV[3]
redis.call('HSET', EVIDENCE, worker, cjson.encode(evidence))
local others = 0
local flat = redis.call('HGETALL', EVIDENCE)
for i = 1, #flat, 2 do
  local other = cjson.decode(flat[i + 1])
  if flat[i] ~= worker and NOW - (other.rateAt or other.at or 0) <= tonumber(ARGV[5]) then others = others + 1 end
end
local live = fleet()
if live.count < 2 or others > 0 then
  open(record, ARGV[3], worker, resetMs)
else
  redis.call('HSET', ASIDE, worker, NOW + resetMs)
  note({ kind = 'worker', to = 'set aside', worker = worker, reason = ARGV[3], generation = record.generation })
end
save(record)
publish(record)
return reply(record)
