-- Removes a worker that stops. ARGV: worker id.
redis.call('HDEL', WORKERS, ARGV[1])
redis.call('HDEL', ASIDE, ARGV[1])
redis.call('HDEL', ADVERTS, ARGV[1])
local record = load()
if record.probing == 1 and record.leaseHolder == ARGV[1] then
  record.leaseUntil = NOW
  save(record)
end
publish(record)
return reply(record)
