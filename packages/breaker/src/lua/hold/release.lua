-- Releases a hold. The breaker's own hold ends only with a transition. ARGV: kind, who, reason.
local record = load()
local released = redis.call('HDEL', HOLDS, ARGV[1]) == 1
if released then
  note({ kind = 'hold', to = 'released', hold = ARGV[1], worker = ARGV[2], reason = ARGV[3] })
  publish(record)
end
return reply(record, { released = released })
