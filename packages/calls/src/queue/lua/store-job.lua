-- Adds a job with BullMQ's script, `bull(KEYS, ARGV)`, at most once, together with the call's index entries. The keys and
-- arguments of BullMQ come first.
local first = #KEYS - 6
local stored, wishes, wishesDue, inDoubt = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3], KEYS[first + 4]
local callbacks, deadlines = KEYS[first + 5], KEYS[first + 6]
local queueStart, id, asked = ARGV[4], ARGV[5], cjson.decode(ARGV[6])

-- If the call has been made and trimmed, its job is gone and only `stored` shows that it existed.
if redis.call('EXISTS', stored, queueStart .. id) > 0 then return {'present', id} end
if asked.findSameWish then
  local same = findSameWish(wishes, inDoubt, queueStart, asked.wish)
  if same then return {'same-wish', same} end
end
local added = bull(KEYS, ARGV)
-- `added` is an error code of BullMQ. If Redis is full, BullMQ's first write throws and nothing is stored.
if added ~= id then return added end
if asked.rememberMs then redis.call('SET', stored, '1', 'PX', asked.rememberMs) end
if asked.callback then redis.call('ZADD', callbacks, 'NX', 0, id) end
if asked.expiresMs then redis.call('ZADD', deadlines, string.format('%.0f', asked.expiresMs), id) end
if asked.wish then noteWish(wishes, wishesDue, inDoubt, queueStart, asked.wish, id, asked.windowMs) end
return {'added', id}
