-- A worker that cannot reach anything, by a fault of its own machine, takes no more calls. ARGV: worker id, reason, reset ms.
-- Never the last one, and never more than half of them.
local worker, reason, resetMs = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record = load()
local live = fleet()
if live.ids[worker] and redis.call('HLEN', ASIDE) + 2 <= live.count then
  redis.call('HSET', ASIDE, worker, NOW + resetMs)
  note({ kind = 'worker', to = 'set aside', worker = worker, reason = reason, generation = record.generation })
  publish(record)
end
return reply(record)
