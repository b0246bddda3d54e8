-- A worker says that it lives and learns how things stand. ARGV: worker id, its description as JSON.
local worker = cjson.decode(ARGV[2])
worker.seenAt = NOW
redis.call('HSET', WORKERS, ARGV[1], cjson.encode(worker))
return reply(load())
