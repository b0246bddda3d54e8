-- Releases a claim if this ticket holds it. Keys: code-claim. Args: ticket.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
