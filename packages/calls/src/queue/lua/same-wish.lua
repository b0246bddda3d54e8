-- An index of calls with equal input. `wishes` maps a digest of application, operation and input to `id end;id end;…`,
-- newest first. `end` is the end of the call's duplicate window, in ms by Redis' clock. `wishesDue` orders the digests by
-- the time of their next cleanup. `queueStart` is the prefix of job keys.

-- Maximum number of calls per digest. The newest are kept.
local callsKept = 16
local digestsLookedAt = 3
local laterMs = 600000

local function clockMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function wishEntries(wishes, digest)
  local entries = {}
  for id, windowEnd in string.gmatch(redis.call('HGET', wishes, digest) or '', '([^ ;]+) (%d+);') do
    entries[#entries + 1] = {id = id, windowEnd = tonumber(windowEnd)}
  end
  return entries
end

-- 'gone', 'unfinished', 'in doubt', 'succeeded' or 'failed'. A failed call may be retried later.
local function stateOfCall(queueStart, inDoubt, id)
  local data = redis.call('HGET', queueStart .. id, 'data')
  if not data then return 'gone' end
  if redis.call('ZSCORE', queueStart .. 'completed', id) then return 'succeeded' end
  if not redis.call('ZSCORE', queueStart .. 'failed', id) then return 'unfinished' end
  if redis.call('ZSCORE', inDoubt, id) then return 'in doubt' end
  local read, envelope = pcall(cjson.decode, data)
  if not read or type(envelope) ~= 'table' then return 'failed' end
  local settled = envelope.settled
  if type(settled) == 'table' then return settled.status == 'in_doubt' and 'in doubt' or 'failed' end
  return envelope.sending ~= nil and 'in doubt' or 'failed'
end

-- The id of the newest call that answers a post with this digest. Nil if the post is a new call.
local function findSameWish(wishes, inDoubt, queueStart, digest)
  local nowMs = clockMs()
  for _, entry in ipairs(wishEntries(wishes, digest)) do
    if nowMs < entry.windowEnd then return entry.id end
    local state = stateOfCall(queueStart, inDoubt, entry.id)
    if state == 'unfinished' or state == 'in doubt' then return entry.id end
  end
  return nil
end

-- Drops the calls that can no longer answer a post. Returns false if none is left.
local function keepWish(wishes, inDoubt, queueStart, digest, entries, nowMs)
  local kept = {}
  for _, entry in ipairs(entries) do
    local state = nowMs >= entry.windowEnd and stateOfCall(queueStart, inDoubt, entry.id)
    local isOver = state == 'gone' or state == 'succeeded'
    if not isOver and #kept < callsKept then
      kept[#kept + 1] = entry.id .. ' ' .. string.format('%.0f', entry.windowEnd) .. ';'
    end
  end
  if #kept == 0 then return false end
  redis.call('HSET', wishes, digest, table.concat(kept))
  return true
end

local function noteWish(wishes, wishesDue, inDoubt, queueStart, digest, id, windowMs)
  local nowMs = clockMs()
  local entries = wishEntries(wishes, digest)
  table.insert(entries, 1, {id = id, windowEnd = nowMs + windowMs})
  keepWish(wishes, inDoubt, queueStart, digest, entries, nowMs)
  redis.call('ZADD', wishesDue, string.format('%.0f', nowMs + windowMs), digest)
  local due = redis.call('ZRANGEBYSCORE', wishesDue, '-inf', string.format('%.0f', nowMs), 'LIMIT', 0, digestsLookedAt)
  for _, old in ipairs(due) do
    if keepWish(wishes, inDoubt, queueStart, old, wishEntries(wishes, old), nowMs) then
      redis.call('ZADD', wishesDue, string.format('%.0f', nowMs + laterMs), old)
    else
      redis.call('HDEL', wishes, old)
      redis.call('ZREM', wishesDue, old)
    end
  end
end
