-- Sets a hold; a rate-limit hold is only ever made longer. ARGV: kind, owner, reason, for ms or '' for no end.
local record = load()
local stored = redis.call('HGET', HOLDS, ARGV[1])
local before = stored and cjson.decode(stored) or nil
local till = ARGV[4] ~= '' and NOW + tonumber(ARGV[4]) or cjson.null
local running = before and (before['until'] == cjson.null or before['until'] > NOW)
if running and ARGV[1] == 'rate-limit' and before['until'] ~= cjson.null and till ~= cjson.null then
  till = math.max(till, before['until'])
end
local hold = { kind = ARGV[1], owner = ARGV[2], reason = ARGV[3], since = running and before.since or NOW, ['until'] = till }
redis.call('HSET', HOLDS, ARGV[1], cjson.encode(hold))
if not running then
  note({ kind = 'hold', to = 'set', hold = ARGV[1], worker = ARGV[2], reason = ARGV[3] })
end
publish(record)
return reply(record)
