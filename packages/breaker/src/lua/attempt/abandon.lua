-- An attempt showed nothing of the upstream's health: its permit comes back. ARGV: call id, generation.
local record = load()
if tonumber(ARGV[2]) == record.generation then redis.call('ZREM', PERMITS, ARGV[1]) end
return reply(record)
