-- Decides what a caller without a usable session does: use the fleet's session, give up, wait, or lead a sign-in.
-- Keys: session, lock, flight, refusal, failure.
-- Args: stale id, stale revision, credentials fingerprint, lease ms, flight waited for ('' = none).
-- A session other than the stale one always wins. The stale session stays until the flight ends: if the leader dies,
-- the next leader can still renew it, which may spare a person a sign-in.
local current = redis.call('HMGET', KEYS[1], 'id', 'revision', 'sealed', 'signedInAt')
if current[1] and (current[1] ~= ARGV[1] or current[2] ~= ARGV[2]) then
  return {'session', current[1], current[2], current[3], current[4]}
end
local refusal = redis.call('HMGET', KEYS[4], 'fingerprint', 'code', 'message', 'until')
if refusal[1] and refusal[1] == ARGV[3] and now() < (tonumber(refusal[4] or '') or math.huge) then
  return {'refused', refusal[2], refusal[3]}
end
if ARGV[5] ~= '' then
  local failure = redis.call('HMGET', KEYS[5], 'flight', 'outcome')
  if failure[1] and tonumber(failure[1]) >= tonumber(ARGV[5]) then
    return {'failed', failure[2]}
  end
end
local holder = redis.call('GET', KEYS[2])
if holder then
  return {'wait', holder}
end
local pause = tonumber(redis.call('HGET', KEYS[5], 'until') or 0) - now()
if pause > 0 then
  return {'paused', tostring(math.ceil(pause))}
end
local flight = redis.call('INCR', KEYS[3])
redis.call('SET', KEYS[2], flight, 'PX', ARGV[4])
return {'lead', tostring(flight)}
