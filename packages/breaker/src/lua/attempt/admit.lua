-- Admits or refuses an attempt. Not needed while the breaker is closed without a streak.
-- ARGV: call id, worker id, lease in ms.
local record = load()
if redis.call('HEXISTS', ASIDE, ARGV[2]) == 1 then
  return reply(record, { admitted = false, why = 'This worker is set aside: only its own calls were failing.' })
end
if record.state == 'open' then
  return reply(record, { admitted = false, why = 'The breaker is open.' })
end
if record.state == 'closed' then
  return reply(record, { admitted = true, trial = false })
end
if record.probing == 1 then
  return reply(record, { admitted = false, why = 'The upstream is being probed.' })
end
drop_expired_permits()
if redis.call('ZSCORE', PERMITS, ARGV[1]) or redis.call('ZCARD', PERMITS) >= record.permits then
  return reply(record, { admitted = false, why = 'No permit is free.' })
end
redis.call('ZADD', PERMITS, NOW + tonumber(ARGV[3]), ARGV[1])
record.lastTrialAt = NOW
save(record)
return reply(record, { admitted = true, trial = true })
