-- Ends a flight with a session, if the flight still holds the lock.
-- Keys: session, lock, refusal, failure. Args: flight, id, sealed, signedInAt.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'revision', '1', 'sealed', ARGV[3], 'signedInAt', ARGV[4])
return 1
