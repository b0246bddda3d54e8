-- Saves changed data of the current session. Returns the new revision, or 0 when another session is current or a
-- flight is replacing this one: an expired session must not look new.
-- Keys: session, lock. Args: id, sealed.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'revision', 1)
