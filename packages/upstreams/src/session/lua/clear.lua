-- Deletes the session if it is the named one ('' = any). Keys: session. Args: id.
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
