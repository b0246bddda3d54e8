-- Replaces any session with one that a person signed in. A running flight loses its lock and changes nothing.
-- Keys: session, refusal, pending, lock, failure. Args: id, sealed, signedInAt.
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'revision', '1', 'sealed', ARGV[2], 'signedInAt', ARGV[3])
return 1
