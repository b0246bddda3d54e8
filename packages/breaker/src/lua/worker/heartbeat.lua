-- Stores a worker's heartbeat. ARGV: worker id, its description as JSON, its advert as JSON (no script reads it) or ''.
local worker = cjson.decode(ARGV[2])
worker.seenAt = NOW
redis.call('HSET', WORKERS, ARGV[1], cjson.encode(worker))
if ARGV[3] ~= '' then redis.call('HSET', ADVERTS, ARGV[1], ARGV[3]) end
local record = load()
if record.since == 0 then
  -- The record is new or was deleted: closed since the first heartbeat.
  record.since = NOW
  save(record)
end
return reply(record)
