-- Brings back a worker that was set aside, or extends its time. ARGV: worker id, 1 if it works again, else 0, reset ms.
local record = load()
local till = redis.call('HGET', ASIDE, ARGV[1])
if till and NOW >= tonumber(till) then
  if ARGV[2] == '1' then
    redis.call('HDEL', ASIDE, ARGV[1])
    redis.call('HDEL', EVIDENCE, ARGV[1])
    note({ kind = 'worker', to = 'back', worker = ARGV[1], generation = record.generation })
  else
    redis.call('HSET', ASIDE, ARGV[1], NOW + tonumber(ARGV[3]))
  end
  publish(record)
end
return reply(record, { asideUntil = till and tonumber(till) or 0 })
