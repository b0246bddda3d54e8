-- Returns the permit of an attempt that showed nothing about the upstream's health. ARGV: call id, generation.
local record = load()
if tonumber(ARGV[2]) == record.generation then redis.call('ZREM', PERMITS, ARGV[1]) end
return reply(record)
