-- Ends a flight because the credentials were refused, and deletes the session that it was to replace.
-- Keys: session, lock, refusal.
-- Args: flight, fingerprint, code, message, at, stale id, ms until the next try after the first refusal, and after a
-- later one.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if redis.call('HGET', KEYS[1], 'id') == ARGV[6] then redis.call('DEL', KEYS[1]) end
local before = redis.call('HMGET', KEYS[3], 'fingerprint', 'times')
local times = before[1] == ARGV[2] and tonumber(before[2] or 1) + 1 or 1
local till = now() + tonumber(times == 1 and ARGV[7] or ARGV[8])
redis.call('HSET', KEYS[3], 'fingerprint', ARGV[2], 'code', ARGV[3], 'message', ARGV[4], 'at', ARGV[5],
  'times', times, 'until', till)
return 1
