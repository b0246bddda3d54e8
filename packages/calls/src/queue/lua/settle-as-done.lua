-- Moves a call in doubt from failed to completed, if its data has not changed since it was read.
-- KEYS: job, inDoubt, failed, completed, events, meta. ARGV: id, data as read, new data, return value.
local job, inDoubt, failed, completed, events, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, returnValue = ARGV[1], ARGV[4]
local data = redis.call('HGET', job, 'data')
if not data then return 'missing' end
if data ~= ARGV[2] then return 'changed' end
if redis.call('ZREM', failed, id) == 0 then return 'changed' end
redis.call('ZREM', inDoubt, id)
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HDEL', job, 'failedReason')
redis.call('HSET', job, 'data', ARGV[3], 'returnvalue', returnValue, 'finishedOn', now)
redis.call('ZADD', completed, now, id)
local most = redis.call('HGET', meta, 'opts.maxLenEvents') or 10000
redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', 'completed', 'jobId', id, 'returnvalue', returnValue,
  'prev', 'failed')
return 'settled'
