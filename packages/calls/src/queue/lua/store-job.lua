-- Adds a job by BullMQ's own script, at most once, with all that has to be stored with it. `bull(KEYS, ARGV)` is
-- BullMQ's script; its keys and arguments come first and are passed over here.
local first = #KEYS - 6
local stored, wishes, wishesDue, inDoubt = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3], KEYS[first + 4]
local callbacks, deadlines = KEYS[first + 5], KEYS[first + 6]
local queueStart, id, asked = ARGV[4], ARGV[5], cjson.decode(ARGV[6])

-- The call may have been made and trimmed since: then its job is gone and only this tells.
if redis.call('EXISTS', stored, queueStart .. id) > 0 then return {'present', id} end
if asked.findSameWish then
  local same = findSameWish(wishes, inDoubt, queueStart, asked.wish)
  if same then return {'same-wish', same} end
end
local added = bull(KEYS, ARGV)
-- One of BullMQ's error codes; with a full Redis its first write throws and nothing is stored.
if added ~= id then return added end
if asked.rememberMs then redis.call('SET', stored, '1', 'PX', asked.rememberMs) end
if asked.callback then redis.call('ZADD', callbacks, 'NX', 0, id) end
if asked.expiresMs then redis.call('ZADD', deadlines, string.format('%.0f', asked.expiresMs), id) end
if asked.wish then noteWish(wishes, wishesDue, inDoubt, queueStart, asked.wish, id, asked.windowMs) end
return {'added', id}
