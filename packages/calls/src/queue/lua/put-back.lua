-- Returns a failed job to the queue with BullMQ's script, `bull(KEYS, ARGV)`, if its data has not changed since it was
-- read. KEYS: BullMQ's nine, inDoubt, deadlines. ARGV: BullMQ's six, data as read, new data, `expiresAt` in ms or ''.
local job, failed, inDoubt, deadlines = KEYS[1], KEYS[3], KEYS[10], KEYS[11]
local id, asRead, toBe, expiresMs = ARGV[1], ARGV[7], ARGV[8], ARGV[9]
local data = redis.call('HGET', job, 'data')
if not data then return 'missing' end
if data ~= asRead or bull(KEYS, ARGV) ~= 1 then return 'changed' end
redis.call('ZREM', inDoubt, id)
redis.call('HSET', job, 'data', toBe)
if expiresMs ~= '' then redis.call('ZADD', deadlines, expiresMs, id) end
return 'waiting'
