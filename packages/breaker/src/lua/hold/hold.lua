-- Sets a hold. One that the system set (rate-limit, sign-in) is only ever made longer by another of its kind: fifty
-- calls that learn the same do not shorten it. ARGV: kind, owner, reason, for ms or '' for no end.
local record = load()
local stored = redis.call('HGET', HOLDS, ARGV[1])
local before = stored and cjson.decode(stored) or nil
local running = before and (before['until'] == cjson.null or before['until'] > NOW)
local till = ARGV[4] ~= '' and NOW + tonumber(ARGV[4]) or cjson.null
local reason = ARGV[3]
if running and ARGV[1] ~= 'operator' then
  local shorter = before['until'] == cjson.null or (till ~= cjson.null and till <= before['until'])
  if shorter then till, reason = before['until'], before.reason end
end
local hold = { kind = ARGV[1], owner = ARGV[2], reason = reason, since = running and before.since or NOW, ['until'] = till }
redis.call('HSET', HOLDS, ARGV[1], cjson.encode(hold))
if not running then
  note({ kind = 'hold', to = 'set', hold = ARGV[1], worker = ARGV[2], reason = reason })
end
publish(record)
return reply(record)
