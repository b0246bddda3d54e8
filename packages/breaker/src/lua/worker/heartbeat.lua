-- A worker says that it lives and learns how things stand. ARGV: worker id, its description as JSON,
-- what it says of itself besides, as JSON that no script reads, or nothing.
local worker = cjson.decode(ARGV[2])
worker.seenAt = NOW
redis.call('HSET', WORKERS, ARGV[1], cjson.encode(worker))
if ARGV[3] ~= '' then redis.call('HSET', ADVERTS, ARGV[1], ARGV[3]) end
local record = load()
if record.since == 0 then
  -- A new record, or one that was deleted: closed since a worker first looked.
  record.since = NOW
  save(record)
end
return reply(record)
