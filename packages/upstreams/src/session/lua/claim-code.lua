-- Lets one ticket at a time request a code. The holder may extend its own claim. Returns 0, or the ms that another
-- ticket's claim lasts. Keys: code-claim. Args: ticket, ms.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return math.max(redis.call('PTTL', KEYS[1]), 1) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
