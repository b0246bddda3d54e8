-- Sets a hold. A later rate-limit or sign-in hold never shortens the current one of its kind, because many calls report
-- the same limit. ARGV: kind, owner, reason, duration in ms or '' for no end.
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
